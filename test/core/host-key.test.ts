import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fingerprint, formatHostKey, hostKeyFromBlob, parseFingerprint, parseHostKey } from '../../src/core/host-key.ts'

/** A key and its fingerprint as `ssh-keygen -l` showed it. */
const KNOWN = {
  line: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f',
  fingerprint: 'SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA',
}

function wire(type: string, rest = Buffer.alloc(36, 7)): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(type.length)
  return Buffer.concat([length, Buffer.from(type, 'latin1'), rest])
}

describe('a host key', () => {
  it('has the fingerprint that OpenSSH shows', () => {
    const key = parseHostKey(KNOWN.line)
    expect(key && fingerprint(key.blob)).toBe(KNOWN.fingerprint)
  })

  it('is the same after it was written and read', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[!-~]{1,64}$/), fc.uint8Array({ minLength: 1, maxLength: 200 }), (type, rest) => {
        const key = hostKeyFromBlob(wire(type, Buffer.from(rest)))
        expect(key?.type).toBe(type)
        expect(key && parseHostKey(formatHostKey(key))).toEqual(key)
        expect(key && parseHostKey(`  ${formatHostKey(key)} a comment `)).toEqual(key)
      }),
    )
  })

  it.each([
    ['the type is cut off', Buffer.from([0, 0, 0, 9, 115, 115, 104])],
    ['the type is empty', wire('')],
    ['the type is longer than any', wire('x'.repeat(65))],
    ['the type has a blank', wire('ssh rsa')],
    ['the type has a newline', wire('ssh\n')],
    ['the type is not ASCII', wire('ssh-é')],
    ['there is nothing', Buffer.alloc(0)],
    ['the length is absurd', Buffer.from([255, 255, 255, 255, 1, 2, 3])],
  ])('is not read from bytes in which %s', (_what, blob) => {
    expect(hostKeyFromBlob(blob)).toBeUndefined()
  })

  it.each([
    ['there is no base64', 'ssh-ed25519'],
    ['there is no type', KNOWN.line.split(' ')[1] ?? ''],
    ['the type is another', KNOWN.line.replace('ssh-ed25519', 'ssh-rsa')],
    ['the base64 has a stray character', KNOWN.line.replace('AAAAI', 'AAAA-I')],
    ['the base64 lacks its last character', KNOWN.line.slice(0, -1)],
    ['the base64 is of the URL alphabet', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5__-_'],
    ['there is nothing', ''],
  ])('is not read from text in which %s', (_what, text) => {
    expect(parseHostKey(text)).toBeUndefined()
  })

  it('may name its type by an RSA signature algorithm, as OpenSSH allows, and no other type may', () => {
    const base64 = wire('ssh-rsa').toString('base64')
    expect(parseHostKey(`rsa-sha2-512 ${base64}`)?.type).toBe('ssh-rsa')
    expect(parseHostKey(`rsa-sha2-256 ${wire('ssh-ed25519').toString('base64')}`)).toBeUndefined()
  })
})

describe('a fingerprint', () => {
  it('is read in the form it is written, with or without padding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = fingerprint(Buffer.from(bytes))
        expect(parseFingerprint(text)).toBe(text)
        expect(parseFingerprint(` ${text}=\n`)).toBe(text)
      }),
    )
  })

  it.each([
    ['too short', 'SHA256:abc'],
    ['too long', `SHA256:${'A'.repeat(44)}`],
    ['of MD5', 'MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48'],
    ['without its kind', 'A'.repeat(43)],
    ['in lower case', `sha256:${'A'.repeat(43)}`],
    ['ending in bits that 32 bytes do not have', `SHA256:${'A'.repeat(42)}B`],
    ['a public key', generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' })],
  ])('is not read from text that is %s', (_what, text) => {
    expect(parseFingerprint(String(text))).toBeUndefined()
  })
})
