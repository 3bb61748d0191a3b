import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto'
import { systemReason, writeFileAtomic } from '../core/atomic-file.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { AuditFiles } from './files.ts'
import type { Position } from './line.ts'
import { readSmallFile } from './small-file.ts'

/**
 * What a signature says of a record. `chain`: the chain up to it is as it was written. `head`: it was the last one at that
 * time; only head.json says so, or a signature out of the middle of a log could be made its end.
 */
export type Statement = 'chain' | 'head'

/** A signature and whose it is. */
export interface Signed {
  /** Fingerprint of the public key, `SHA256:…`. */
  readonly key: string
  /** Ed25519 (RFC 8032), base64. */
  readonly signature: string
}

/** Signs heads. */
export interface Signer {
  readonly key: string
  sign(statement: Statement, position: Position): Signed
}

/** Checks signatures by one public key. */
export interface Verifier {
  readonly key: string
  isSigned(statement: Statement, position: Position, signature: string): boolean
}

/** Events whose record signs the chain before it. */
export const SIGNING: ReadonlySet<string> = new Set(['signed', 'rotated', 'removed', 'anchored'])

/** The text that is signed; `remex audit` and the statement keep it from being taken for anything else. */
function statementText(statement: Statement, { seq, hash }: Position): Buffer {
  return Buffer.from(`remex audit ${statement}\n${seq}\n${hash}\n`)
}

/** The key of a log: signs, checks what it signed, and makes its public half known. */
export class SigningKey implements Signer, Verifier {
  /** Fingerprint. */
  readonly key: string
  readonly #path: string
  readonly #privateKey: KeyObject
  readonly #publicKey: KeyObject
  #isPublished: boolean

  private constructor(path: string, privateKey: KeyObject, isPublished: boolean) {
    this.#path = path
    this.#privateKey = privateKey
    this.#publicKey = createPublicKey(privateKey)
    this.#isPublished = isPublished
    this.key = fingerprintOf(this.#publicKey)
  }

  /**
   * The key in `signing.key`; a new one is made where there is none. Called under the lock. Throws what writing a file
   * throws, and `AUDIT_UNAVAILABLE` for a key that others can read, that is none, or that is gone while its public half is there.
   */
  static async of(files: AuditFiles): Promise<SigningKey> {
    const isPublished = readIfThere(files.publicKey) !== undefined
    return new SigningKey(files.publicKey, readKey(files.signingKey) ?? (await makeKey(files, isPublished)), isPublished)
  }

  /** Whether `signing.pub` is there; until it is, a log without signatures is believed. */
  get isPublished(): boolean {
    return this.#isPublished
  }

  /** Writes `signing.pub`. */
  async publish(): Promise<void> {
    await writeFileAtomic(this.#path, this.#publicKey.export({ type: 'spki', format: 'pem' }), { mode: 0o644, followsLinks: false })
    this.#isPublished = true
  }

  sign(statement: Statement, position: Position): Signed {
    return { key: this.key, signature: sign(null, statementText(statement, position), this.#privateKey).toString('base64') }
  }

  isSigned(statement: Statement, position: Position, signature: string): boolean {
    return isSignedBy(this.#publicKey, statementText(statement, position), signature)
  }
}

/** The public key (PEM) in the file at `path`; undefined where there is none. Throws `AUDIT_UNAVAILABLE`. */
export function publicKeyText(path: string): string | undefined {
  try {
    return readIfThere(path)
  } catch (error) {
    throw unusable(path, systemReason(error), undefined, error)
  }
}

/** The checker by the private key at `path`, for the moment in which its public half is not written yet; undefined where it cannot be read. */
export function verifierByKey(path: string): Verifier | undefined {
  try {
    const privateKey = readKey(path)
    return privateKey && verifierBy(createPublicKey(privateKey))
  } catch {
    return undefined
  }
}

const isSignedBy = (publicKey: KeyObject, text: Buffer, signature: string): boolean => verify(null, text, publicKey, Buffer.from(signature, 'base64'))

/** The checker of signatures by the public key (PEM) in the file at `path`; undefined where there is no file. Throws `USAGE` for one that is no Ed25519 key. */
export function verifierOf(path: string): Verifier | undefined {
  const pem = publicKeyText(path)
  return pem === undefined ? undefined : verifierOfPem(pem, path)
}

/** The same of a text that came from `path`. */
export function verifierOfPem(pem: string, path: string): Verifier {
  return verifierBy(publicKeyOf(pem, path))
}

function verifierBy(publicKey: KeyObject): Verifier {
  return {
    key: fingerprintOf(publicKey),
    isSigned: (statement, position, signature) => isSignedBy(publicKey, statementText(statement, position), signature),
  }
}

function publicKeyOf(pem: string, path: string): KeyObject {
  try {
    // Of a private key this would make the public half; nobody should hand one out by mistake and not be told.
    if (pem.includes('PRIVATE KEY')) throw new Error('it is a private key; keep it where it is')
    const key = createPublicKey(pem)
    if (key.asymmetricKeyType === 'ed25519') return key
    throw new Error(`it is a key of the type ${key.asymmetricKeyType ?? 'unknown'}, not ed25519`)
  } catch (error) {
    throw remexError('USAGE', `${printable(path)} is not the public key of an audit log: ${systemReason(error)}`, {
      cause: error,
      hint: 'Print it where the log is written: remex audit public-key',
    })
  }
}

/** `SHA256:` and the base64 of the hash of the public key (DER, SubjectPublicKeyInfo). */
function fingerprintOf(publicKey: KeyObject): string {
  return `SHA256:${createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64').replace(/=+$/, '')}`
}

async function makeKey({ signingKey }: AuditFiles, isPublished: boolean): Promise<KeyObject> {
  if (isPublished) throw unusable(signingKey, 'it is gone, and the log is signed by it')
  const { privateKey } = generateKeyPairSync('ed25519')
  await writeFileAtomic(signingKey, privateKey.export({ type: 'pkcs8', format: 'pem' }), { followsLinks: false })
  return privateKey
}

function readKey(path: string): KeyObject | undefined {
  const pem = readSmallFile(path, {
    mostBytes: MOST_KEY_BYTES,
    followsLinks: false,
    accept: ({ mode }) => {
      if ((mode & 0o077) !== 0) throw unusable(path, 'others than its owner may read it', `chmod 600 ${printable(path)}`)
    },
  })
  if (pem === undefined) return undefined
  try {
    return createPrivateKey(pem)
  } catch (error) {
    throw unusable(path, 'it is not a private key', undefined, error)
  }
}

function readIfThere(path: string): string | undefined {
  return readSmallFile(path, { mostBytes: MOST_KEY_BYTES })
}

/** A key of ours is some hundred bytes long. */
const MOST_KEY_BYTES = 16_384

const RESTORE = 'Put it back from a copy, or move the directory away to begin a new log.'

/** The error of a log whose key is not there, is not whole, or is not the one that signed it. */
export function unusable(path: string, reason: string, hint = RESTORE, cause?: unknown): RemexError {
  return remexError('AUDIT_UNAVAILABLE', `the key that signs the audit log, ${printable(path)}, cannot be used: ${reason}`, { hint, cause })
}
