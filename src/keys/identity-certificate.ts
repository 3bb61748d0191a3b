import { basename } from 'node:path'
import { remexError, type RemexError } from '../core/errors.ts'
import { fingerprint } from '../core/host-key.ts'
import type { Agent, PrivateKey, UserCertificate } from '../core/identity.ts'
import { printable } from '../core/printable.ts'
import { quoteWord } from '../core/quote.ts'
import type { KeyFile } from './key-file.ts'
import { publicHalf } from './private-key-format.ts'
import { readPublicKey } from './public-key-file.ts'
import { readCertificate } from './user-certificate.ts'

/** A user certificate that the configuration names, and what it is for. */
export interface NamedCertificate {
  readonly file: KeyFile
  /** The public key that it certifies. */
  readonly plainKeyBlob: Buffer
  readonly certificate: UserCertificate
}

/**
 * The user certificate at `file.path`. Whether it is valid now is left to the server, whose clock and authorities count.
 * Throws `KEY_NOT_FOUND` where the file is not there, `KEY_UNUSABLE` for one that is not a user's certificate.
 */
export async function loadCertificate(file: KeyFile): Promise<NamedCertificate> {
  const reading = await readCertificate(file.path)
  if (reading.kind === 'unusable') throw unusable(file, reading.reason, 'Name the file that ssh-keygen -s wrote, …-cert.pub, in identity_certificate.')
  if (reading.kind === 'missing') {
    const message = `the certificate of ${printable(file.vmId)} is not there: ${printable(file.path)}`
    throw remexError('KEY_NOT_FOUND', message, { hint: 'Put the certificate there, or correct identity_certificate.', vmId: file.vmId })
  }
  const { certificate } = reading
  if (certificate.kind === 'host') throw unusable(file, 'it is the certificate of a host, not of a user', 'Have the key signed as a user’s: ssh-keygen -s <authority> -I <id> -n <login> <key>.pub, without -h.')
  return { file, plainKeyBlob: certificate.plainKeyBlob, certificate: labelled(file.path, certificate) }
}

/**
 * `identity` with its certificate: the named one, which must be of this very key (else `KEY_UNUSABLE`); without it, the one that lies
 * beside the key at `key.path` as `<key>-cert.pub`, where that is a user certificate of this key. Source: ssh(1), option -i.
 */
export async function certified<T extends PrivateKey | Agent>(identity: T, key: KeyFile, named: NamedCertificate | undefined): Promise<T> {
  const publicKey = await publicKeyOf(identity, key.path)
  if (named) {
    refuseOtherKey(named, key, publicKey)
    return { ...identity, certificate: named.certificate }
  }
  const certificate = publicKey && (await certificateBeside(key.path, publicKey))
  return certificate ? { ...identity, certificate } : identity
}

/** Of a private key in another format than OpenSSH’s it is known only by the file beside it. */
async function publicKeyOf(identity: PrivateKey | Agent, path: string): Promise<Buffer | undefined> {
  if (identity.kind === 'agent') return identity.only
  return (publicHalf(identity.data) ?? (await readPublicKey(`${path}.pub`)))?.blob
}

function refuseOtherKey({ file, plainKeyBlob }: NamedCertificate, key: KeyFile, publicKey: Buffer | undefined): void {
  if (!publicKey) {
    const hint = `ssh-keygen -y -f ${quoteWord(key.path)} >${quoteWord(`${key.path}.pub`)}`
    throw unusable(file, `whether it is of the key ${printable(key.path)} shows only by the public half of that`, printable(hint))
  }
  if (publicKey.equals(plainKeyBlob)) return
  const reason = `it is of the key ${fingerprint(plainKeyBlob)}, and ${printable(key.path)} is ${fingerprint(publicKey)}`
  throw unusable(file, reason, 'Name the certificate of that key, or in identity_file the key of this certificate.')
}

/**
 * The user certificate of the key at `path` that lies beside it as `<key>-cert.pub`. Undefined for one that cannot be read, or is of
 * another key: it is left from before, perhaps, and nobody named it.
 */
export async function certificateBeside(path: string, publicKey: Buffer): Promise<UserCertificate | undefined> {
  const beside = `${path.replace(/\.pub$/, '')}-cert.pub`
  const reading = await readCertificate(beside)
  if (reading.kind !== 'certificate') return undefined
  const { kind, plainKeyBlob } = reading.certificate
  return kind === 'user' && plainKeyBlob.equals(publicKey) ? labelled(beside, reading.certificate) : undefined
}

function labelled(path: string, { type, blob }: Pick<UserCertificate, 'type' | 'blob'>): UserCertificate {
  return { label: printable(basename(path)), type, blob }
}

function unusable({ path, vmId }: KeyFile, reason: string, hint: string): RemexError {
  return remexError('KEY_UNUSABLE', `the certificate ${printable(path)} of ${printable(vmId)} cannot be used: ${reason}`, { vmId, hint })
}
