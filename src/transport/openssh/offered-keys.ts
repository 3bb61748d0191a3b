import { createPrivateKey, type KeyObject } from 'node:crypto'
import { hostKeyFromBlob } from '../../core/host-key.ts'
import type { Agent, Identity, PrivateKey } from '../../core/identity.ts'
import { printable } from '../../core/printable.ts'
import { leadingStrings, sshString } from '../../core/ssh-wire.ts'
import { weakness } from '../algorithms.ts'
import type { ConnectTarget } from '../contract.ts'
import { agentKeyLabel, agentKeyNotes, agentUnusableNote, keyUnusable, noKey, nothingToOffer, tooManyNote } from '../key-messages.ts'
import { loadSsh2 } from '../ssh2/load.ts'
import { MAX_OFFERS } from '../ssh2/offers.ts'
import { parsePrivateKey } from '../ssh2/private-key.ts'
import { listKeys } from './agent-client.ts'

/** A key to log in with. */
export interface OfferedKey {
  /** For messages, and what ssh is told as its name: `id_ed25519_vm01 (ssh-ed25519)`. */
  readonly label: string
  /** `ssh-ed25519`, `sk-ssh-ed25519@openssh.com`, `ssh-rsa-cert-v01@openssh.com`, … */
  readonly type: string
  /** Of the public half, or the certificate. */
  readonly blob: Buffer
  readonly signer: Signer
}

/** Who signs with a key: we ourselves, or the agent at this socket. */
export type Signer =
  | { readonly kind: 'own'; readonly privateKey: KeyObject }
  | { readonly kind: 'agent'; readonly socketPath: string }

/** What there is to log in with. */
export interface OfferedKeys {
  /** In the order to try, at most {@link MAX_OFFERS}. */
  readonly list: readonly OfferedKey[]
  /** What could not be offered, and why; for the message when the login fails. */
  readonly notes: readonly string[]
}

/**
 * The keys of a target's identities, in their order. Passwords and certificates of identities are not among them, but the tries that
 * they will take are left to them; an agent's own certificates are.
 * Throws `KEY_NOT_FOUND` without identities, `KEY_UNUSABLE` for a key file that cannot be used (format, passphrase, size) or when
 * there is nothing at all to log in with, as with an agent that does not answer, and `CANCELLED` when the signal aborts.
 */
export async function collectKeys({ vmId, identities }: Pick<ConnectTarget, 'vmId' | 'identities'>, signal?: AbortSignal): Promise<OfferedKeys> {
  if (identities.length === 0) throw noKey(vmId)
  const found: OfferedKey[] = []
  const notes: string[] = []
  for (const identity of identities) {
    if (identity.kind === 'key') found.push(await ownKey(vmId, identity))
    if (identity.kind === 'agent') found.push(...(await keysOfAgent(identity, notes, signal)))
  }
  const keys = withoutDoubles(found)
  if (keys.length === 0 && !identities.some(isPassword)) throw nothingToOffer(vmId, notes)
  const room = roomFor(identities)
  if (keys.length > room) notes.push(tooManyNote(room, keys.length))
  return { list: keys.slice(0, room), notes }
}

async function ownKey(vmId: string, identity: PrivateKey): Promise<OfferedKey> {
  const parsed = parsePrivateKey(await loadSsh2(), vmId, identity)
  const label = printable(identity.label)
  return { label: `${label} (${parsed.type})`, type: parsed.type, blob: parsed.getPublicSSH(), signer: { kind: 'own', privateKey: privateKey() } }

  function privateKey(): KeyObject {
    try {
      return createPrivateKey(parsed.getPrivatePEM())
    } catch {
      // What OpenSSL says of it may hold parts of it.
      throw keyUnusable(vmId, `key ${label}: not a key that can be read (its numbers are no key)`, 'Make a new key: ssh-keygen -t ed25519')
    }
  }
}

async function keysOfAgent({ socketPath, only }: Agent, notes: string[], signal: AbortSignal | undefined): Promise<OfferedKey[]> {
  try {
    const listed = (await listKeys(socketPath, signal)).filter(({ blob }) => only === undefined || blob.equals(only))
    const usable = listed.flatMap(({ blob, comment }): OfferedKey[] => {
      const type = allowedType(blob)
      return type === undefined ? [] : [{ label: `${agentKeyLabel(comment)} (${type})`, type, blob, signer: { kind: 'agent', socketPath } }]
    })
    notes.push(...agentKeyNotes({ refused: listed.length - usable.length, usable: usable.length }))
    return usable
  } catch (error) {
    if (signal?.aborted) throw error
    notes.push(agentUnusableNote(socketPath, error))
    return []
  }
}

const CERTIFICATE = /-cert-v01@openssh\.com$/

/**
 * The type of an agent's key or certificate; undefined where it is too weak. Any other type may come, for ssh knows more of them
 * than we do (security keys) and passes over what it does not know.
 */
function allowedType(blob: Buffer): string | undefined {
  const type = hostKeyFromBlob(blob)?.type
  const plain = type?.replace(CERTIFICATE, '')
  if (plain === undefined || plain === 'ssh-dss') return undefined
  if (plain === 'ssh-rsa' && weakness(type === plain ? blob : certifiedRsaKey(blob)) !== undefined) return undefined
  return type
}

/** The plain key of an RSA certificate, which has a nonce before the key's numbers. Source: OpenSSH PROTOCOL.certkeys. */
function certifiedRsaKey(blob: Buffer): Buffer {
  const [, , exponent, modulus] = leadingStrings(blob, 4)
  if (!exponent || !modulus) return Buffer.alloc(0)
  return Buffer.concat([sshString('ssh-rsa'), sshString(exponent), sshString(modulus)])
}

function withoutDoubles(keys: readonly OfferedKey[]): OfferedKey[] {
  const seen = new Map<string, OfferedKey>()
  for (const key of keys) {
    const blob = key.blob.toString('base64')
    if (!seen.has(blob)) seen.set(blob, key)
  }
  return [...seen.values()]
}

/** ssh tries each certificate besides its key, and a password is one try; without a single key the certificates would be of no use. */
function roomFor(identities: readonly Identity[]): number {
  const certificates = identities.filter((identity) => !isPassword(identity) && identity.certificate !== undefined).length
  return Math.max(1, MAX_OFFERS - certificates - (identities.some(isPassword) ? 1 : 0))
}

function isPassword(identity: Identity): identity is Extract<Identity, { kind: 'password' }> {
  return identity.kind === 'password'
}
