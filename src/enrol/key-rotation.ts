import { basename } from 'node:path'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { authorizedKeys, withKey, withoutKeys } from '../keys/authorized-keys.ts'
import { certificateBeside } from '../keys/identity-certificate.ts'
import type { StoredKey } from '../keys/key-store.ts'
import { editAuthorizedKeys } from './authorized-keys-file.ts'
import { identityOf, isLetIn, nextKey, type Subject } from './key-access.ts'

/** What a rotation came to. */
export interface RotationReport {
  readonly vmId: string
  /** Of the key that opens the host now. */
  readonly fingerprint: string
  /** Of the key before. */
  readonly previous: string
  /** How many lines with old keys were taken out of authorized_keys. */
  readonly removed: number
  /** False where another process had rotated the key while we waited for it. */
  readonly rotated: boolean
}

/**
 * Replaces the key of a host: the new one is added and proved by a login, comes into use, and only then the old one is taken
 * out. A cut at any moment leaves a key that opens the host; a repeat goes on from there.
 */
export async function rotateKey(subject: Subject): Promise<RotationReport> {
  refuseShared(subject)
  const seen = await currentKey(subject)
  await refuseCertified(subject, seen)
  return subject.files.alone(async () => {
    const old = await currentKey(subject)
    const { host: { id: vmId }, files, runtime, onStep } = subject
    if (old.fingerprint !== seen.fingerprint) {
      return { vmId, fingerprint: old.fingerprint, previous: seen.fingerprint, removed: 0, rotated: false }
    }
    const key = await nextKey(subject)
    await addBeside(subject, { key, old })
    if (!(await isLetIn(subject, key))) throw refusedAnyway(subject, key)
    onStep('a login with the new key alone works')
    await runtime.dispatcher.step(vmId, { operation: 'key_retire', userKey: old.fingerprint, signal: subject.signal }, () => files.install(new Date(runtime.clock.now())))
    onStep('the new key is in use, the old one was put aside')
    const removed = await removeOld(subject, key, old)
    return { vmId, fingerprint: key.fingerprint, previous: old.fingerprint, removed, rotated: true }
  })
}

async function currentKey({ files, host: { id: vmId } }: Subject): Promise<StoredKey> {
  const key = await files.current()
  if (key) return key
  throw remexError('KEY_NOT_FOUND', `${vmId} has no key of its own to rotate`, { vmId, hint: `Make one: remex keys setup ${vmId}` })
}

/** A key file of several hosts would be replaced for one of them, and lock us out of the others. */
function refuseShared({ host, runtime: { config } }: Subject): void {
  if (host.identityFile === undefined) return
  const others = [...config.hosts.values()].filter(({ id, identityFile }) => id !== host.id && identityFile === host.identityFile)
  if (others.length === 0) return
  throw remexError('USAGE', `${host.id} shares its identity_file with ${others.map(({ id }) => id).join(', ')}, so it cannot be rotated for one host`, {
    vmId: host.id,
    hint: `Take identity_file out of the configuration, then give each host a key of its own: remex keys setup ${host.id}`,
  })
}

/** A host that is to know the authority alone would not know the new key, and a named certificate of the old one would not be of the new. */
async function refuseCertified({ host: { id: vmId, identityCertificate } }: Subject, { path, key }: StoredKey): Promise<void> {
  const label = identityCertificate === undefined ? (await certificateBeside(path, key.blob))?.label : printable(basename(identityCertificate))
  if (label === undefined) return
  const without = identityCertificate === undefined ? `move ${label} away from beside the key` : 'take identity_certificate out of the configuration'
  throw remexError('USAGE', `${vmId} logs in with ${label}, the certificate of its key, which a new key would not have`, {
    vmId,
    hint: `Make a new key, have it signed (ssh-keygen -s <authority> -I <id> -n <login> <key>.pub) and put both in place. Where the host knows the key itself: ${without}, then rotate.`,
  })
}

/** The new key gets the options of the old one: who may come from 10.0.0.1 only must not come from anywhere tomorrow. */
async function addBeside({ runtime, host, signal, onStep }: Subject, { key, old }: { readonly key: StoredKey; readonly old: StoredKey }): Promise<void> {
  await runtime.dispatcher.step(host.id, { operation: 'key_add', userKey: key.fingerprint, signal }, (on) =>
    editAuthorizedKeys(on, (text) => {
      const options = authorizedKeys(text).find((line) => line.key.blob.equals(old.key.blob))?.options ?? ''
      return { text: withKey(text, { key: key.key, options, comment: key.comment }), result: undefined }
    }),
  )
  onStep(`added the new key ${key.fingerprint} to authorized_keys`)
}

/** Also what earlier rotations that were cut left behind. */
async function removeOld(subject: Subject, key: StoredKey, old: StoredKey): Promise<number> {
  const { runtime, host, files, signal, onStep } = subject
  const current = await currentKey(subject)
  const gone = [old, ...(await files.retired())].filter((one) => one.fingerprint !== key.fingerprint).map((one) => one.key)
  const identities = [await identityOf(subject, current)]
  const { result } = await runtime.dispatcher.step(host.id, { operation: 'key_remove', userKey: old.fingerprint, identities, signal }, (on) =>
    editAuthorizedKeys(on, (text) => {
      const { text: left, removed } = withoutKeys(text, gone)
      return { text: left, result: removed.length }
    }),
  )
  onStep(`took ${result === 1 ? 'the old key' : `${result} old keys`} out of authorized_keys`)
  return result
}

function refusedAnyway({ host: { id: vmId } }: Subject, { fingerprint }: StoredKey): RemexError {
  return remexError('AUTH_FAILED', `${vmId} refuses the new key ${fingerprint}, so the old one stays in use`, {
    vmId,
    hint: 'The new key is kept for the next try. On the host see AuthorizedKeysFile in sshd_config, and the log of sshd.',
  })
}
