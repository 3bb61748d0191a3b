import { createPrivateKey, createPublicKey, verify, type KeyObject } from 'node:crypto'
import ssh2 from 'ssh2'
import { describe, expect, it } from 'vitest'
import { WireReader } from '../../src/core/ssh-wire.ts'
import { SignFlag } from '../../src/transport/openssh/agent-protocol.ts'
import { signatureOf } from '../../src/transport/openssh/key-signature.ts'
import { makeKeyPair, type KeyKind } from '../../testkit/keys.ts'

function privateKeyOf(kind: KeyKind, bits?: number): KeyObject {
  const parsed = ssh2.utils.parseKey(makeKeyPair(kind, bits === undefined ? {} : { bits }).privateKey)
  if (parsed instanceof Error) throw parsed
  return createPrivateKey(parsed.getPrivatePEM())
}

const keys = {
  'ssh-ed25519': privateKeyOf('ed25519'),
  'ecdsa-sha2-nistp256': privateKeyOf('ecdsa', 256),
  'ecdsa-sha2-nistp384': privateKeyOf('ecdsa', 384),
  'ecdsa-sha2-nistp521': privateKeyOf('ecdsa', 521),
  'ssh-rsa': privateKeyOf('rsa'),
}
type KeyType = keyof typeof keys

const data = Buffer.from('what is to be signed')

async function signed(type: KeyType, flags: number): Promise<{ algorithm: string | undefined; signature: Buffer } | undefined> {
  const blob = await signatureOf(keys[type], { type, data, flags })
  if (!blob) return undefined
  const reader = new WireReader(blob)
  const [algorithm, signature] = [reader.string().toString(), reader.string()]
  expect(reader.isAtEnd).toBe(true)
  return { algorithm, signature }
}

describe('a signature', () => {
  it.each<[KeyType, number, string, string | null]>([
    ['ssh-ed25519', 0, 'ssh-ed25519', null],
    ['ssh-rsa', SignFlag.RSA_SHA2_256, 'rsa-sha2-256', 'sha256'],
    ['ssh-rsa', SignFlag.RSA_SHA2_512, 'rsa-sha2-512', 'sha512'],
  ])('with a key of type %s and flags %d is %s', async (type, flags, algorithm, hash) => {
    const made = await signed(type, flags)
    expect(made?.algorithm).toBe(algorithm)
    expect(verify(hash, data, createPublicKey(keys[type]), made?.signature ?? data)).toBe(true)
  })

  it.each<[KeyType, string, number]>([
    ['ecdsa-sha2-nistp256', 'sha256', 32],
    ['ecdsa-sha2-nistp384', 'sha384', 48],
    ['ecdsa-sha2-nistp521', 'sha512', 66],
  ])('with a key of type %s is two numbers, each positive and as short as it can be', async (type, hash, halfBytes) => {
    const seen = new Set<number>()
    for (let round = 0; round < 300; round++) {
      const made = await signed(type, 0)
      expect(made?.algorithm).toBe(type)
      const reader = new WireReader(made?.signature ?? data)
      const numbers = [reader.string(), reader.string()]
      expect(reader.isAtEnd).toBe(true)
      for (const number of numbers) {
        expect(number[0]).toBeLessThan(0x80)
        if (number[0] === 0) expect(number[1]).toBeGreaterThanOrEqual(0x80)
        seen.add(number.length)
      }
      const raw = Buffer.concat(numbers.map((number) => Buffer.concat([Buffer.alloc(halfBytes), number]).subarray(-halfBytes)))
      expect(verify(hash, data, { key: createPublicKey(keys[type]), dsaEncoding: 'ieee-p1363' }, raw)).toBe(true)
    }
    expect(seen.size).toBeGreaterThan(1)
  })

  it.each<[string, KeyType, number]>([
    ['by an RSA key without flags, which would be SHA-1', 'ssh-rsa', 0],
    ['by an RSA key with both flags', 'ssh-rsa', 6],
    ['by an RSA key with an unknown flag', 'ssh-rsa', 1],
    ['by an Ed25519 key with a flag of RSA', 'ssh-ed25519', SignFlag.RSA_SHA2_256],
    ['by an ECDSA key with an unknown flag', 'ecdsa-sha2-nistp256', 0x80000000],
  ])('%s is not made', async (_sentence, type, flags) => {
    expect(await signed(type, flags)).toBeUndefined()
  })
})
