import { createHmac, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { hostKeyFromBlob, type HostKey } from '../../src/core/host-key.ts'

/** Fresh public host keys, made by Node alone, so that what is tested does not also make the samples. */
export function sampleHostKey(kind: 'ed25519' | 'rsa' | 'ecdsa' = 'ed25519'): HostKey {
  const key = hostKeyFromBlob(Buffer.concat(parts(kind).map(wireString)))
  if (!key) throw new Error('the sample is not a host key')
  return key
}

function parts(kind: 'ed25519' | 'rsa' | 'ecdsa'): Buffer[] {
  switch (kind) {
    case 'ed25519':
      return [Buffer.from('ssh-ed25519'), jwkField(generateKeyPairSync('ed25519').publicKey, 'x')]
    case 'rsa': {
      const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      return [Buffer.from('ssh-rsa'), jwkField(publicKey, 'e'), Buffer.concat([Buffer.alloc(1), jwkField(publicKey, 'n')])]
    }
    case 'ecdsa': {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const point = Buffer.concat([Buffer.of(4), jwkField(publicKey, 'x'), jwkField(publicKey, 'y')])
      return [Buffer.from('ecdsa-sha2-nistp256'), Buffer.from('nistp256'), point]
    }
  }
}

function jwkField(key: KeyObject, name: 'x' | 'y' | 'n' | 'e'): Buffer {
  return Buffer.from(key.export({ format: 'jwk' })[name] ?? '', 'base64url')
}

/** A string of the SSH wire (RFC 4251 section 5). */
export function wireString(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** `name` hashed as a known_hosts file has it. */
export function hashedName(name: string): string {
  const salt = randomBytes(20)
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`
}
