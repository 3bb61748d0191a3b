import { fingerprint, hostKeyFromBlob, parseHostKey } from '../core/host-key.ts'
import { ifWhole, sshString, WireReader } from '../core/ssh-wire.ts'
import { readRegularFile } from '../core/regular-file.ts'

/** An OpenSSH certificate, as its bytes have it: nothing of it is verified, and all of it may be anybody's words. */
export interface Certificate {
  /** `ssh-ed25519-cert-v01@openssh.com` */
  readonly type: string
  /** Whom it speaks of. */
  readonly kind: 'user' | 'host'
  /** Of the key without the certificate: `ssh-ed25519`. */
  readonly keyType: string
  readonly blob: Buffer
  /** The public key that it certifies, as a blob of its own. */
  readonly plainKeyBlob: Buffer
  readonly serial: bigint
  /** What the authority calls it. */
  readonly keyId: string
  /** The logins it is for; empty: what that means is the server's decision. */
  readonly principals: readonly string[]
  /** Since 1970. 0: from ever. */
  readonly validAfterMs: number
  /** Since 1970. `Infinity`: for ever. */
  readonly validBeforeMs: number
  /** Of the key that signed it, `SHA256:…`. */
  readonly authorityFingerprint: string
}

/** What became of reading a certificate. `unusable` says why in words, without the path. */
export type CertificateReading =
  | { readonly kind: 'certificate'; readonly certificate: Certificate }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unusable'; readonly reason: string }

const MAX_CERTIFICATE_BYTES = 65_536
/** Source: OpenSSH sshkey.h, SSHKEY_CERT_MAX_PRINCIPALS. */
const MAX_PRINCIPALS = 256
const CERTIFICATE_TYPE = /-cert-v01@openssh\.com$/
const FOR_EVER = 2n ** 64n - 1n

/** How many strings make the public key of a type, behind its name. Source: OpenSSH PROTOCOL.certkeys and PROTOCOL.u2f. */
const KEY_FIELDS = new Map([
  ['ssh-ed25519', 1],
  ['ssh-rsa', 2],
  ['ecdsa-sha2-nistp256', 2],
  ['ecdsa-sha2-nistp384', 2],
  ['ecdsa-sha2-nistp521', 2],
  ['sk-ssh-ed25519@openssh.com', 2],
  ['sk-ecdsa-sha2-nistp256@openssh.com', 3],
])

/** The certificate in the first line of the file at `path` that is not empty or a comment. At most 64 KiB are read. */
export async function readCertificate(path: string): Promise<CertificateReading> {
  const reading = await readRegularFile(path, MAX_CERTIFICATE_BYTES)
  if (reading.kind === 'missing') return reading
  if (reading.kind !== 'read') return { kind: 'unusable', reason: reading.reason }
  const lines = reading.data.toString('latin1').split('\n').map((line) => line.trim())
  const key = parseHostKey(lines.find((line) => line !== '' && !line.startsWith('#')) ?? '')
  if (!key) return { kind: 'unusable', reason: 'it is not a certificate' }
  if (!CERTIFICATE_TYPE.test(key.type)) return { kind: 'unusable', reason: 'it is a public key without a certificate' }
  const certificate = parseCertificate(key.blob)
  return certificate ? { kind: 'certificate', certificate } : { kind: 'unusable', reason: 'it is a damaged certificate, or of a type that is not known' }
}

/** The certificate in `blob`, or undefined where it is not one, of a known type and whole. Source: OpenSSH PROTOCOL.certkeys. */
export function parseCertificate(blob: Buffer): Certificate | undefined {
  return ifWhole(() => certificateIn(blob, new WireReader(blob)))
}

/** The fields in their order on the wire. */
function certificateIn(blob: Buffer, fields: WireReader): Certificate | undefined {
  const type = fields.string().toString('latin1')
  const keyType = plainTypeOf(type)
  const keyFields = KEY_FIELDS.get(keyType)
  if (!CERTIFICATE_TYPE.test(type) || keyFields === undefined) return undefined
  fields.string() // The nonce, which only makes signatures differ.
  const plainKeyBlob = Buffer.concat([sshString(keyType), fields.strings(keyFields)])
  const serial = fields.uint64()
  const kind = KINDS.get(fields.uint32())
  const keyId = fields.text()
  const principals = principalsIn(fields.string())
  const [validAfterMs, validBeforeMs] = [msOf(fields.uint64()), msOf(fields.uint64())]
  fields.strings(3) // Critical options, extensions and what is reserved: the server's to judge.
  const authority = hostKeyFromBlob(fields.string())
  fields.string() // The signature.
  if (!kind || !principals || !authority || CERTIFICATE_TYPE.test(authority.type) || !fields.isAtEnd) return undefined
  return { type, kind, keyType, blob, plainKeyBlob, serial, keyId, principals, validAfterMs, validBeforeMs, authorityFingerprint: fingerprint(authority.blob) }
}

const KINDS = new Map<number, Certificate['kind']>([
  [1, 'user'],
  [2, 'host'],
])

/** `sk-ssh-ed25519@openssh.com` has its domain behind the plain name, too. */
function plainTypeOf(type: string): string {
  const name = type.replace(CERTIFICATE_TYPE, '')
  return name.startsWith('sk-') ? `${name}@openssh.com` : name
}

function principalsIn(packed: Buffer): readonly string[] | undefined {
  const fields = new WireReader(packed)
  const found: string[] = []
  while (!fields.isAtEnd && found.length <= MAX_PRINCIPALS) found.push(fields.text())
  return found.length > MAX_PRINCIPALS ? undefined : found
}

const msOf = (seconds: bigint): number => (seconds === FOR_EVER ? Infinity : Number(seconds) * 1000)
