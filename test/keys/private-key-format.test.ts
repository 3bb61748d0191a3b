import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { inspectPrivateKey, type KeyInspection } from '../../src/keys/private-key-format.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { sampleHostKey, wireString } from './host-key-samples.ts'
import { opensshKeyFile as openssh, sampleSecurityKey } from './private-key-samples.ts'
import { hasSshKeygen } from './ssh-keygen.ts'

const run = promisify(execFile)
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const encrypted = { cipher: 'aes-256-cbc', passphrase: 'secret' }
const putty = (encryption: string): string => `PuTTY-User-Key-File-2: ssh-ed25519\r\nEncryption: ${encryption}\r\nComment: x\r\n`

function rsaBlob(bits: number): Buffer {
  const modulus = Buffer.alloc(Math.ceil(bits / 8) + 1, 0xff)
  modulus[0] = 0
  modulus[1] = 0xff >> (modulus.length * 8 - 8 - bits)
  return Buffer.concat([Buffer.from('ssh-rsa'), Buffer.of(1, 0, 1), modulus].map(wireString))
}

const inspect = (text: string): KeyInspection => inspectPrivateKey(Buffer.from(text, 'latin1'))
const ed25519 = makeKeyPair('ed25519')

describe('the format of a private key', () => {
  it.each([
    ['an OpenSSH key', ed25519.privateKey, false],
    ['an OpenSSH key with CR LF', ed25519.privateKey.replaceAll('\n', '\r\n'), false],
    ['an OpenSSH key with a passphrase', makeKeyPair('ed25519', { passphrase: 'secret' }).privateKey, true],
    ['an OpenSSH RSA key of 2,048 bits', openssh('none', rsaBlob(2048)), false],
    ['an OpenSSH ECDSA key', makeKeyPair('ecdsa').privateKey, false],
    ['a PKCS#1 key', rsa.export({ format: 'pem', type: 'pkcs1' }), false],
    ['a PKCS#1 key with a passphrase', rsa.export({ format: 'pem', type: 'pkcs1', ...encrypted }), true],
    ['a SEC 1 key', ec.export({ format: 'pem', type: 'sec1' }), false],
    ['a SEC 1 key with a passphrase', ec.export({ format: 'pem', type: 'sec1', ...encrypted }), true],
    ['a PKCS#8 key', ec.export({ format: 'pem', type: 'pkcs8' }), false],
    ['a PKCS#8 key with a passphrase', ec.export({ format: 'pem', type: 'pkcs8', ...encrypted }), true],
    ['a PuTTY key', putty('none'), false],
    ['a PuTTY key with a passphrase', putty('aes256-cbc'), true],
    ['a PEM key after other text', `Bag Attributes\n${String(ec.export({ format: 'pem', type: 'pkcs8' }))}`, false],
  ])('of %s is seen, and whether it is encrypted', (_what, text, isEncrypted) => {
    expect(inspect(String(text))).toEqual({ kind: 'private', encrypted: isEncrypted })
  })

  it.each([
    ['nothing', '', 'empty'],
    ['white space', ' \n\n', 'empty'],
    ['a public key', ed25519.publicKey, 'public key'],
    ['a public key in PEM', generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }), 'public key'],
    ['a public key in RFC 4716 form', '---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n', 'public key'],
    ['a certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 'not a private key'],
    ['any other text', 'hello\n', 'not a private key'],
    ['a DSA key', '-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n', 'DSA'],
    ['an OpenSSH DSA key', openssh('none', wireString(Buffer.from('ssh-dss'))), 'DSA'],
    ['an OpenSSH RSA key of 1,024 bits', openssh('none', rsaBlob(1024)), 'RSA key of 1024 bits'],
    ['an OpenSSH RSA key of 2,047 bits', openssh('none', rsaBlob(2047)), 'RSA key of 2047 bits'],
    ['a weak RSA key with a passphrase', openssh('aes256-ctr', rsaBlob(1024)), 'RSA key of 1024 bits'],
    ['the key file of a security key', openssh('none', sampleSecurityKey('ed25519').blob), 'security key'],
    ['an encrypted key file of a security key', openssh('aes256-ctr', sampleSecurityKey('ecdsa').blob), 'security key'],
    ['an OpenSSH key that is cut off', ed25519.privateKey.slice(0, 120), 'damaged'],
    ['an OpenSSH key without a body', '-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n', 'damaged'],
    ['an OpenSSH key with another body', openssh('none', Buffer.of(0, 0, 0, 9)), 'damaged'],
    ['a PuTTY key that is cut off', 'PuTTY-User-Key-File-3: ssh-ed25519\n', 'damaged'],
  ])('is refused for %s, with the reason', (_what, text, reason) => {
    expect(inspect(String(text))).toMatchObject({ kind: 'unusable', reason: expect.stringContaining(reason) as unknown })
  })

  it('of anything at all is decided without throwing', () => {
    const garbled = fc.tuple(fc.nat(), fc.nat(255)).map(([at, byte]) => {
      const bytes = Buffer.from(ed25519.privateKey)
      bytes[at % bytes.length] = byte
      return bytes
    })
    const blob = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(openssh('none', Buffer.from(bytes))))
    fc.assert(
      fc.property(fc.oneof(garbled, blob, fc.uint8Array().map((bytes) => Buffer.from(bytes))), (bytes) => {
        expect(['private', 'unusable']).toContain(inspectPrivateKey(bytes).kind)
      }),
      { numRuns: 1000 },
    )
  })

  it('of 64 KiB that only begin like a key is decided at once', () => {
    const startMs = performance.now()
    for (const start of ['-----BEGIN OPENSSH PRIVATE KEY-----\n', '-----BEGIN ', '-----BEGIN A ']) {
      inspect(start.repeat(65_536 / start.length))
      inspect(start + 'A'.repeat(65_536))
      inspect(start + ' \n'.repeat(32_768))
    }
    expect(performance.now() - startMs).toBeLessThan(3000)
  })

  it('never shows key material in its reason', () => {
    const reason = inspect(ed25519.privateKey.slice(0, 150))
    expect(JSON.stringify(reason)).not.toContain(ed25519.privateKey.split('\n')[1]?.slice(0, 20))
    expect(JSON.stringify(inspect(`${sampleHostKey().type} secret`))).not.toContain('secret')
  })

  it.skipIf(!hasSshKeygen)('of keys that ssh-keygen makes is seen', { timeout: 30_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'remex-key-format-'))
    try {
      for (const format of ['RFC4716', 'PEM', 'PKCS8']) {
        for (const passphrase of ['', 'secret']) {
          const path = join(directory, `${format}${passphrase}`)
          await run('ssh-keygen', ['-q', '-t', 'ecdsa', '-m', format, '-N', passphrase, '-f', path])
          expect(inspectPrivateKey(await readFile(path)), path).toEqual({ kind: 'private', encrypted: passphrase !== '' })
        }
      }
      await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '1024', '-N', 'secret', '-f', join(directory, 'weak')])
      expect(inspectPrivateKey(await readFile(join(directory, 'weak')))).toMatchObject({ kind: 'unusable' })
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})
