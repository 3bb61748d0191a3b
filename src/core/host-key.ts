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

/** The fingerprint as OpenSSH shows it: `SHA256:` and unpadded base64. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

/** The key as a line of `authorized_keys` or known_hosts has it: type and base64. */
export function formatHostKey(key: HostKey): string {
  return `${key.type} ${key.blob.toString('base64')}`
}
