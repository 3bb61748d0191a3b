import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fingerprint, formatHostKey, parseHostKey, type HostKey } from '../../src/core/host-key.ts'
import { parseCertificate, readCertificate, type Certificate } from '../../src/keys/user-certificate.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { signKey } from './certificate-samples.ts'
import { sampleHostKey, wireString } from './host-key-samples.ts'
import { sampleSecurityKey } from './private-key-samples.ts'
import { hasSshKeygen } from './ssh-keygen.ts'

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-certificates-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const uint = (bytes: number, value: bigint): Buffer => Buffer.from(value.toString(16).padStart(bytes * 2, '0'), 'hex')
const texts = (...all: readonly (string | Buffer)[]): Buffer => Buffer.concat(all.map((one) => wireString(Buffer.from(one))))

interface Fields {
  readonly type?: string
  readonly kind?: bigint
  readonly principals?: Buffer
  readonly authority?: Buffer
  readonly after?: Buffer
}

/** A certificate with these fields, signed by nobody. */
function made({ type = 'ssh-ed25519-cert-v01@openssh.com', kind = 1n, principals = texts('ada'), authority = sampleHostKey().blob, after = Buffer.alloc(0) }: Fields = {}): Buffer {
  const times = [uint(8, 60n), uint(8, 120n)]
  return Buffer.concat([texts(type, Buffer.alloc(32), Buffer.alloc(32, 7)), uint(8, 9n), uint(4, kind), texts('id', principals), ...times, texts('', '', '', authority, 'signature'), after])
}

describe('the bytes of a certificate', () => {
  it('are read field by field', () => {
    const blob = made({ principals: texts('ada', 'root') })
    const plainKeyBlob = texts('ssh-ed25519', Buffer.alloc(32, 7))
    expect(parseCertificate(blob)).toMatchObject({ kind: 'user', keyType: 'ssh-ed25519', blob, plainKeyBlob, serial: 9n, keyId: 'id', principals: ['ada', 'root'], validAfterMs: 60_000, validBeforeMs: 120_000 })
    expect(parseCertificate(made({ kind: 2n, principals: Buffer.alloc(0) }))).toMatchObject({ kind: 'host', principals: [] })
  })

  it.each<[string, Fields]>([
    ['of a type that is not known', { type: 'ssh-dss-cert-v01@openssh.com' }],
    ['of a plain key', { type: 'ssh-ed25519' }],
    ['of neither a user nor a host', { kind: 3n }],
    ['with principals that end early', { principals: Buffer.of(0, 0, 0, 9, 1) }],
    ['with more principals than OpenSSH takes', { principals: texts(...Array.from({ length: 257 }, () => 'a')) }],
    ['with an authority that is no key', { authority: Buffer.from('x') }],
    ['with an authority that is a certificate', { authority: made() }],
    ['with something behind its end', { after: Buffer.of(0) }],
  ])('%s are refused', (_what, fields) => {
    expect(parseCertificate(made(fields))).toBeUndefined()
  })

  it('are refused wherever they end too early', () => {
    const blob = made()
    for (let length = 0; length < blob.length; length++) expect(parseCertificate(blob.subarray(0, length))).toBeUndefined()
  })

  it('are decided without throwing, whatever they are', () => {
    const whole = made()
    const garbled = fc.tuple(fc.nat(), fc.nat(255)).map(([at, byte]) => {
      const bytes = Buffer.from(whole)
      bytes[at % bytes.length] = byte
      return bytes
    })
    const truncated = fc.nat(whole.length).map((length) => whole.subarray(0, length))
    const headed = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.concat([texts('ssh-rsa-cert-v01@openssh.com'), bytes]))
    const anything = fc.uint8Array().map((bytes) => Buffer.from(bytes))
    fc.assert(
      fc.property(fc.oneof(garbled, truncated, headed, anything), (bytes) => {
        const found = parseCertificate(bytes)
        expect(found === undefined || found.blob === bytes).toBe(true)
      }),
    )
  })
})

describe('the file of a certificate', () => {
  const put = async (name: string, text: string): Promise<string> => {
    const path = join(directory, name)
    await writeFile(path, text)
    return path
  }
  const line = formatHostKey({ type: 'ssh-ed25519-cert-v01@openssh.com', blob: made() })

  it('may have comments and empty lines before it, and a comment behind it', async () => {
    expect(await readCertificate(await put('plain', `${line}\n`))).toMatchObject({ kind: 'certificate' })
    expect(await readCertificate(await put('comments', `# mine\r\n\r\n  ${line} ada@laptop\r\n`))).toMatchObject({ kind: 'certificate', certificate: { serial: 9n } })
  })

  it.each([
    ['is empty', '', 'not a certificate'],
    ['has a private key', makeKeyPair().privateKey, 'not a certificate'],
    ['has a public key', makeKeyPair().publicKey, 'a public key without a certificate'],
    ['has one that is cut off', formatHostKey({ type: 'ssh-ed25519-cert-v01@openssh.com', blob: made().subarray(0, 99) }), 'damaged'],
    ['has one of a type that is not known', formatHostKey({ type: 'ssh-dss-cert-v01@openssh.com', blob: made({ type: 'ssh-dss-cert-v01@openssh.com' }) }), 'type that is not known'],
    ['says another type than its bytes', `ssh-rsa-cert-v01@openssh.com ${line.split(' ')[1] ?? ''}`, 'not a certificate'],
    ['is longer than any certificate', `${line} ${'x'.repeat(65_536)}`, 'larger than 64 KiB'],
  ])('that %s is refused, with the reason', async (_what, text, reason) => {
    expect(await readCertificate(await put('other', text))).toEqual({ kind: 'unusable', reason: expect.stringContaining(reason) as unknown })
  })

  it('that is not there, or a directory, is named as that', async () => {
    await mkdir(join(directory, 'directory'), { recursive: true })
    expect(await readCertificate(join(directory, 'nowhere'))).toEqual({ kind: 'missing' })
    expect(await readCertificate(join(directory, 'directory'))).toMatchObject({ kind: 'unusable', reason: expect.stringContaining('regular file') as unknown })
  })
})

describe.skipIf(!hasSshKeygen)('a certificate by ssh-keygen', () => {
  const authority = makeKeyPair()
  const sign = async (publicKey: string, ...options: readonly string[]): Promise<Certificate> => {
    const reading = await readCertificate(await signKey(directory, { authority, publicKey, options }))
    if (reading.kind === 'certificate') return reading.certificate
    throw new Error(`it is ${reading.kind}`)
  }
  const keyOf = (publicKey: string): HostKey => {
    const key = parseHostKey(publicKey)
    if (!key) throw new Error('it is not a public key')
    return key
  }

  it.each([
    ['ed25519', makeKeyPair('ed25519').publicKey, 'ssh-ed25519-cert-v01@openssh.com'],
    ['rsa', makeKeyPair('rsa').publicKey, 'ssh-rsa-cert-v01@openssh.com'],
    ['ecdsa', makeKeyPair('ecdsa').publicKey, 'ecdsa-sha2-nistp256-cert-v01@openssh.com'],
    ['ecdsa 384', makeKeyPair('ecdsa', { bits: 384 }).publicKey, 'ecdsa-sha2-nistp384-cert-v01@openssh.com'],
    ['ecdsa 521', makeKeyPair('ecdsa', { bits: 521 }).publicKey, 'ecdsa-sha2-nistp521-cert-v01@openssh.com'],
    ['ed25519-sk', formatHostKey(sampleSecurityKey('ed25519')), 'sk-ssh-ed25519-cert-v01@openssh.com'],
    ['ecdsa-sk', formatHostKey(sampleSecurityKey('ecdsa')), 'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com'],
  ])('of a key of type %s has that very key', async (_what, publicKey, type) => {
    const key = keyOf(publicKey)
    expect(await sign(publicKey)).toMatchObject({ type, kind: 'user', keyType: key.type, plainKeyBlob: key.blob })
  })

  it('tells serial, key id, principals, times and authority', async () => {
    const options = ['-z', '18446744073709551615', '-n', 'ada,röt', '-V', '20200102030405:20200203040506']
    expect(await sign(makeKeyPair().publicKey, ...options)).toMatchObject({
      serial: 18446744073709551615n,
      keyId: 'the id of it',
      principals: ['ada', 'röt'],
      validAfterMs: Date.UTC(2020, 0, 2, 3, 4, 5),
      validBeforeMs: Date.UTC(2020, 1, 3, 4, 5, 6),
      authorityFingerprint: fingerprint(keyOf(authority.publicKey).blob),
    })
  })

  it('of a host, or without end, is told as that', async () => {
    expect(await sign(makeKeyPair().publicKey, '-h')).toMatchObject({ kind: 'host', principals: [], validAfterMs: 0, validBeforeMs: Infinity })
  })

  it('with options and extensions is read to its end', async () => {
    const options = ['-O', 'force-command=/bin/true', '-O', 'source-address=10.0.0.0/8', '-O', 'no-pty']
    expect(await sign(makeKeyPair().publicKey, ...options)).toMatchObject({ kind: 'user' })
  })

  it('is the same to us as to ssh-keygen -L', async () => {
    const path = await signKey(directory, { authority, publicKey: makeKeyPair().publicKey, options: ['-z', '42', '-n', 'ada'] })
    const { stdout } = await promisify(execFile)('ssh-keygen', ['-L', '-f', path])
    const reading = await readCertificate(path)
    const { type, plainKeyBlob, authorityFingerprint } = reading.kind === 'certificate' ? reading.certificate : await Promise.reject(new Error(await readFile(path, 'utf8')))
    for (const told of [type, fingerprint(plainKeyBlob), authorityFingerprint, 'Serial: 42']) expect(stdout).toContain(told)
  })
})
