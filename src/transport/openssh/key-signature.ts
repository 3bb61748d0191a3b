import { sign, type KeyObject, type SignKeyObjectInput } from 'node:crypto'
import { sshString } from '../../core/ssh-wire.ts'
import { SignFlag } from './agent-protocol.ts'

/** What is to be signed, and how. */
export interface SignatureRequest {
  /** Of the key: `ssh-ed25519`. */
  readonly type: string
  readonly data: Buffer
  /** Of {@link SignFlag}. */
  readonly flags: number
}

interface Algorithm {
  readonly name: string
  /** Null where the algorithm has one of its own. */
  readonly hash: string | null
}

/** What the algorithms of a key type are; by the flag that asks for them, 0 for none. RSA has none without a flag, for that would be SHA-1. */
const ALGORITHMS_BY_TYPE: Readonly<Record<string, Readonly<Record<number, Algorithm>>>> = {
  'ssh-ed25519': { 0: { name: 'ssh-ed25519', hash: null } },
  'ecdsa-sha2-nistp256': { 0: { name: 'ecdsa-sha2-nistp256', hash: 'sha256' } },
  'ecdsa-sha2-nistp384': { 0: { name: 'ecdsa-sha2-nistp384', hash: 'sha384' } },
  'ecdsa-sha2-nistp521': { 0: { name: 'ecdsa-sha2-nistp521', hash: 'sha512' } },
  'ssh-rsa': {
    [SignFlag.RSA_SHA2_256]: { name: 'rsa-sha2-256', hash: 'sha256' },
    [SignFlag.RSA_SHA2_512]: { name: 'rsa-sha2-512', hash: 'sha512' },
  },
}

/**
 * The signature as SSH carries it, algorithm and all. Undefined where there is no algorithm that is allowed for this type and these
 * flags. Rejects where the key cannot sign. Source: RFC 4253 section 6.6, RFC 8332, RFC 8709; RFC 5656 section 3.1.2 for ECDSA.
 */
export async function signatureOf(key: KeyObject, { type, data, flags }: SignatureRequest): Promise<Buffer | undefined> {
  const algorithm = ALGORITHMS_BY_TYPE[type]?.[flags]
  if (algorithm === undefined) return undefined
  const raw = await rawSignature({ key, dsaEncoding: 'ieee-p1363' }, algorithm.hash, data)
  return Buffer.concat([sshString(algorithm.name), sshString(type.startsWith('ecdsa-') ? twoNumbers(raw) : raw)])
}

/** Not on this thread: a large RSA key takes long enough to be noticed. */
function rawSignature(key: SignKeyObjectInput, hash: string | null, data: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    sign(hash, data, key, (error, signature) => {
      if (error) reject(error)
      else resolve(signature)
    })
  })
}

/** r and s, which come as two halves of equal length. */
function twoNumbers(raw: Buffer): Buffer {
  const middle = raw.length / 2
  return Buffer.concat([mpint(raw.subarray(0, middle)), mpint(raw.subarray(middle))])
}

/** No zeros before it but the one that keeps it from being negative. Source: RFC 4251 section 5. */
function mpint(number: Buffer): Buffer {
  const first = number.findIndex((byte) => byte !== 0)
  const digits = first === -1 ? Buffer.alloc(0) : number.subarray(first)
  return sshString((digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits)
}
