import ssh2 from 'ssh2'
import { describe, expect, test } from 'vitest'
import { makeKeyPair } from '../../testkit/keys.ts'

function typeOf(key: string, passphrase?: string): string {
  const parsed = ssh2.utils.parseKey(key, passphrase)
  return parsed instanceof Error ? parsed.message : parsed.type
}

describe('makeKeyPair', () => {
  test.each([
    ['an ed25519 key by default', makeKeyPair(), 'ssh-ed25519'],
    ['an RSA key', makeKeyPair('rsa'), 'ssh-rsa'],
    ['a small RSA key', makeKeyPair('rsa', { bits: 1024 }), 'ssh-rsa'],
    ['an ECDSA key', makeKeyPair('ecdsa'), 'ecdsa-sha2-nistp256'],
    ['an ECDSA key of 384 bits', makeKeyPair('ecdsa', { bits: 384 }), 'ecdsa-sha2-nistp384'],
  ])('makes %s', (_, pair, type) => {
    expect([typeOf(pair.privateKey), typeOf(pair.publicKey)]).toEqual([type, type])
  })

  test('encrypts the private key with a passphrase', () => {
    const { privateKey } = makeKeyPair('ed25519', { passphrase: 'open sesame' })
    expect(typeOf(privateKey, 'open sesame')).toBe('ssh-ed25519')
    expect(typeOf(privateKey)).toMatch(/no passphrase/i)
  })

  test('puts the comment at the end of the public line', () => {
    expect(makeKeyPair('ed25519', { comment: 'of a test' }).publicKey).toMatch(/^ssh-ed25519 \S+ of a test$/)
  })

  test('makes only keys that work, though one in 256 of ssh2’s does not', () => {
    for (let made = 0; made < 1500; made++) {
      const parsed = ssh2.utils.parseKey(makeKeyPair().privateKey)
      if (parsed instanceof Error) throw parsed
      expect(parsed.getPublicSSH()).toHaveLength(51)
    }
  })

  test('refuses a curve that there is not', () => {
    expect(() => makeKeyPair('ecdsa', { bits: 255 })).toThrow(/no ECDSA curve of 255 bits/)
  })
})
