import { hostKeyFromBlob, parseHostKey, type HostKey } from '../core/host-key.ts'
import { ifWhole, leadingStrings, mpintBits, WireReader } from '../core/ssh-wire.ts'

/** What the bytes of a key file are, as far as it shows without decrypting. */
export type KeyInspection =
  | { readonly kind: 'private'; readonly encrypted: boolean }
  /** Not a private key, or one that is not allowed; `reason` says why, without the path. */
  | { readonly kind: 'unusable'; readonly reason: string; readonly hint?: string }

const MIN_RSA_BITS = 2048

/**
 * What kind of key `data` holds: OpenSSH, PEM (PKCS#1, SEC 1, PKCS#8) or PuTTY format, and whether it is encrypted.
 * The key itself is left to the transport. DSA, and RSA under 2048 bits, are refused where they show: in the public part
 * of the OpenSSH format, which is never encrypted.
 */
export function inspectPrivateKey(data: Buffer): KeyInspection {
  const text = data.toString('latin1')
  if (text.trim() === '') return unusable('it is empty')
  if (/^PuTTY-User-Key-File-\d+:/.test(text)) return putty(text)
  const kind = /^-----BEGIN ([A-Z0-9 ]{0,40}?) ?PRIVATE KEY-----\s*$/m.exec(text)?.[1]
  if (kind === undefined) return notPrivate(text)
  if (kind === 'DSA') return unusable('it is a DSA key, which is not allowed')
  if (kind === 'OPENSSH') return openssh(text)
  return { kind: 'private', encrypted: kind === 'ENCRYPTED' || /^Proc-Type: *4, *ENCRYPTED\s*$/m.test(text) }
}

function unusable(reason: string, hint?: string): KeyInspection {
  return { kind: 'unusable', reason, ...(hint === undefined ? {} : { hint }) }
}

function putty(text: string): KeyInspection {
  const encryption = /^Encryption: *(\S+)\s*$/m.exec(text)?.[1]
  return encryption === undefined ? unusable('it is a damaged PuTTY key') : { kind: 'private', encrypted: encryption !== 'none' }
}

function notPrivate(text: string): KeyInspection {
  const isPublic = /^-----BEGIN ([A-Z]+ )?PUBLIC KEY-----|^---- BEGIN SSH2 PUBLIC KEY ----/m.test(text) || parseHostKey(text) !== undefined
  if (isPublic) return unusable('it is a public key', 'Name the private key: the file of the same name without .pub.')
  return unusable('it is not a private key in OpenSSH, PEM or PuTTY format')
}

/** The public half of a private key in OpenSSH format, encrypted or not; undefined for other formats. */
export function publicHalf(data: Buffer): HostKey | undefined {
  return opensshParts(data.toString('latin1'))?.key
}

/** Whether the private half of a key is in a FIDO device; the file then has only what the device needs to find it. */
export function isSecurityKey({ type }: HostKey): boolean {
  return /^sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com$/.test(type)
}

function openssh(text: string): KeyInspection {
  const parts = opensshParts(text)
  if (!parts) return unusable('it is a damaged OpenSSH key')
  const { cipher, key } = parts
  if (isSecurityKey(key)) return unusable('its private half is in a security key, which only an ssh-agent can ask', 'Add it to the agent: ssh-add <key file>')
  const weakness = weaknessOf(key.type, key.blob)
  return weakness === undefined ? { kind: 'private', encrypted: cipher.toString('latin1') !== 'none' } : unusable(weakness)
}

/** Source: OpenSSH PROTOCOL.key, section 1. */
function opensshParts(text: string): { readonly cipher: Buffer; readonly key: HostKey } | undefined {
  const body = /^-----BEGIN OPENSSH PRIVATE KEY-----\s([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*$/m.exec(text)?.[1]
  const blob = Buffer.from(body ?? '', 'base64')
  const magic = 'openssh-key-v1\0'
  if (blob.toString('latin1', 0, magic.length) !== magic) return undefined
  return ifWhole(() => partsOf(new WireReader(blob.subarray(magic.length))))
}

function partsOf(fields: WireReader): { readonly cipher: Buffer; readonly key: HostKey } | undefined {
  const cipher = fields.string()
  fields.strings(2) // The name of the kdf, and its options.
  fields.uint32() // The number of keys.
  const key = hostKeyFromBlob(fields.string())
  return key && { cipher, key }
}

function weaknessOf(type: string, blob: Buffer): string | undefined {
  if (type === 'ssh-dss') return 'it is a DSA key, which is not allowed'
  if (type !== 'ssh-rsa') return undefined
  const bits = mpintBits(leadingStrings(blob, 3)[2] ?? Buffer.alloc(0))
  return bits < MIN_RSA_BITS ? `it is an RSA key of ${bits} bits, and ${MIN_RSA_BITS} is the least that is allowed` : undefined
}
