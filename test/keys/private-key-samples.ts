import { hostKeyFromBlob, type HostKey } from '../../src/core/host-key.ts'
import { sampleHostKey, wireString } from './host-key-samples.ts'

/** An OpenSSH private key file with these strings at its beginning; only its public part is sound. */
export function opensshKeyFile(cipher: string, publicBlob: Buffer): string {
  const fields = [cipher, 'none', ''].map((text) => wireString(Buffer.from(text)))
  const keys = [Buffer.of(0, 0, 0, 1), wireString(publicBlob), wireString(Buffer.alloc(64))]
  const blob = Buffer.concat([Buffer.from('openssh-key-v1\0'), ...fields, ...keys])
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? []
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`
}

/** The public half of a key that a FIDO device would have. Source: OpenSSH PROTOCOL.u2f. */
export function sampleSecurityKey(kind: 'ed25519' | 'ecdsa'): HostKey {
  const plain = sampleHostKey(kind).blob
  const type = kind === 'ed25519' ? 'sk-ssh-ed25519@openssh.com' : 'sk-ecdsa-sha2-nistp256@openssh.com'
  const fields = plain.subarray(4 + plain.readUInt32BE())
  const key = hostKeyFromBlob(Buffer.concat([wireString(Buffer.from(type)), fields, wireString(Buffer.from('ssh:'))]))
  if (!key) throw new Error('the sample is not a key')
  return key
}
