import { generateKeyPairSync } from 'node:crypto'
import ssh2 from 'ssh2'
import { describe, expect, test } from 'vitest'
import { ALGORITHMS, hostKeyOrder, signatureAlgorithms, weakness } from '../../src/transport/algorithms.ts'
import { makeKeyPair, type KeyPairOptions } from '../../testkit/keys.ts'

const all = Object.values(ALGORITHMS).flat()

describe('the algorithms', () => {
  const weakParts = ['sha1', 'md5', 'cbc', 'arcfour', 'dss', '3des', 'group1-', 'group-exchange', 'ssh-rsa', '-96']

  test.each(weakParts)('have nothing of %s', (weak) => {
    expect(all.filter((name) => name.includes(weak))).toEqual([])
  })

  test('are in every category known to ssh2, which throws for any other', () => {
    const client = new ssh2.Client()
    client.on('error', () => undefined)
    const { kex, hostKey, cipher, mac } = ALGORITHMS
    const algorithms = { kex: [...kex], serverHostKey: [...hostKey], cipher: [...cipher], hmac: [...mac], compress: ['none' as const] }
    expect(() => client.connect({ host: '127.0.0.1', port: 1, username: 'nobody', algorithms })).not.toThrow()
    client.destroy()
  })
})

describe('the order of host key algorithms', () => {
  test.each([
    ['is ours where nothing is known', [], 'ssh-ed25519'],
    ['begins with the known type', ['ecdsa-sha2-nistp384'], 'ecdsa-sha2-nistp384'],
    ['begins with SHA-2 signatures for a known RSA key', ['ssh-rsa'], 'rsa-sha2-512'],
    ['passes over types that it does not know', ['sk-ssh-ed25519@openssh.com', 'ssh-rsa'], 'rsa-sha2-512'],
  ])('%s', (_name, known, first) => {
    const order = hostKeyOrder(known)
    expect(order[0]).toBe(first)
    expect([...order].sort()).toEqual([...ALGORITHMS.hostKey].sort())
  })
})

describe('a public key', () => {
  const blobOf = (kind: Parameters<typeof makeKeyPair>[0], options?: KeyPairOptions): Buffer =>
    Buffer.from(makeKeyPair(kind, options).publicKey.split(' ')[1] ?? '', 'base64')

  test.each([
    ['is good when it is ed25519', () => blobOf('ed25519'), undefined],
    ['is good when it is ECDSA', () => blobOf('ecdsa', { bits: 521 }), undefined],
    ['is good when it is RSA of 2048 bits', () => blobOf('rsa', { bits: 2048 }), undefined],
    ['is too weak when it is RSA of 1024 bits', () => blobOf('rsa', { bits: 1024 }), '1024 bits'],
    ['is too weak when it is RSA of 2040 bits', () => rsaBlob(2040), '2040 bits'],
    ['is refused when it is RSA of more bits than can be verified', () => fakeRsa(20_000), '20000 bits'],
    ['is refused when it is RSA without a modulus', () => fakeRsa(0), '0 bits'],
    ['is refused when it is DSA', () => string('ssh-dss'), 'ssh-dss are not allowed'],
    ['is refused when it is empty', () => Buffer.alloc(0), 'not a public key'],
    ['is refused when its length lies', () => Buffer.from([255, 255, 255, 255, 1]), 'not a public key'],
  ])('%s', (_name, make, reason) => {
    const found = weakness(make())
    if (reason === undefined) expect(found).toBeUndefined()
    else expect(found).toContain(reason)
  })

  test('signs with SHA-2 when it is RSA, and not at all when it is DSA', () => {
    expect(signatureAlgorithms('ssh-rsa')).toEqual(['rsa-sha2-256', 'rsa-sha2-512'])
    expect(signatureAlgorithms('ssh-dss')).toEqual([])
  })

  function rsaBlob(bits: number): Buffer {
    const { n = '' } = generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ format: 'jwk' })
    const modulus = Buffer.concat([Buffer.alloc(1), Buffer.from(n, 'base64url')])
    return Buffer.concat([string('ssh-rsa'), string(Buffer.from([1, 0, 1])), string(modulus)])
  }

  function fakeRsa(bits: number): Buffer {
    return Buffer.concat([string('ssh-rsa'), string(Buffer.from([3])), string(Buffer.alloc(bits / 8, 0xff))])
  }

  function string(value: string | Buffer): Buffer {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(Buffer.byteLength(value))
    return Buffer.concat([length, Buffer.from(value)])
  }
})
