import type { KeyPair } from '../contract.ts'
import { loadSsh2, type Ssh2 } from './load.ts'

/** More than enough: one in 256 pairs cannot be used. */
const TRIES = 20

/**
 * A fresh Ed25519 key by ssh2's generator, which asks OpenSSL for it; `comment` is one line. ssh2 1.17 drops a leading zero byte
 * (keygen.js), so a pair that does not verify its own signature is thrown away.
 */
export async function generateKey(comment: string): Promise<KeyPair> {
  const ssh2 = await loadSsh2()
  for (let tries = 0; tries < TRIES; tries++) {
    const made = ssh2.utils.generateKeyPairSync('ed25519', { comment })
    if (works(ssh2, made)) return { privateKey: made.private, publicKey: made.public.trim() }
  }
  throw new Error('no usable key came of the generator')
}

function works(ssh2: Ssh2, made: { readonly private: string; readonly public: string }): boolean {
  const privateKey = ssh2.utils.parseKey(made.private)
  const publicKey = ssh2.utils.parseKey(made.public)
  if (privateKey instanceof Error || publicKey instanceof Error) return false
  // It returns an Error for what it cannot read, whatever its type says.
  const isVerified: unknown = publicKey.verify('probe', privateKey.sign('probe'))
  return isVerified === true
}
