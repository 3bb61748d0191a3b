import { createHash } from 'node:crypto'

/** A public host key as the SSH wire carries it. */
export interface HostKey {
  /** Key type: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, … */
  readonly type: string
  /** The key blob (RFC 4253 section 6.6). */
  readonly blob: Buffer
}

/** The host key in `blob`, or undefined where it is not one. Source: RFC 4253 section 6.6. */
export function hostKeyFromBlob(blob: Buffer): HostKey | undefined {
  if (blob.length < 5) return undefined
  const typeLength = blob.readUInt32BE(0)
  if (typeLength === 0 || typeLength > 64 || 4 + typeLength > blob.length) return undefined
  const type = blob.toString('latin1', 4, 4 + typeLength)
  return /^[\x21-\x7e]+$/.test(type) ? { type, blob } : undefined
}

/** Names of RSA signature algorithms that OpenSSH also takes as the name of the key's type. */
const RSA_ALIASES = new Set(['rsa-sha2-256', 'rsa-sha2-512'])

/**
 * The public key in `text`, `type base64` with or without a comment, as `authorized_keys`, known_hosts and `.pub` files
 * have it; undefined where it is not one: the base64 is not exact, or the blob says another type than the text.
 */
export function parseHostKey(text: string): HostKey | undefined {
  const [type, base64] = text.trim().split(/[ \t]+/, 2)
  if (!type || !base64) return undefined
  const blob = Buffer.from(base64, 'base64')
  // Node skips what is not base64; only a text that comes out again as it went in was whole.
  if (blob.toString('base64') !== base64) return undefined
  const key = hostKeyFromBlob(blob)
  return key && (key.type === type || (key.type === 'ssh-rsa' && RSA_ALIASES.has(type))) ? key : undefined
}

/** The fingerprint as OpenSSH shows it: `SHA256:` and unpadded base64. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

/** The fingerprint in `text` in the form of {@link fingerprint}, or undefined where it is none. Padding is taken too. */
export function parseFingerprint(text: string): string | undefined {
  const bare = text.trim().replace(/=+$/, '')
  // 32 bytes are 43 characters of base64, of which the last carries four bits.
  return /^SHA256:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]$/.test(bare) ? bare : undefined
}

/** The key as a line of `authorized_keys` or known_hosts has it: type and base64. */
export function formatHostKey(key: HostKey): string {
  return `${key.type} ${key.blob.toString('base64')}`
}
