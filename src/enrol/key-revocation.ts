import { remexError } from '../core/errors.ts'
import { fingerprint as fingerprintOf } from '../core/host-key.ts'
import { authorizedKeys, withoutKeys } from '../keys/authorized-keys.ts'
import { editAuthorizedKeys } from './authorized-keys-file.ts'
import { isLetIn, type Subject } from './key-access.ts'

/** What a revocation came to. */
export interface RevocationReport {
  readonly vmId: string
  /** Of the key that was revoked. */
  readonly fingerprint: string
  /** How many lines with it were taken out of authorized_keys. */
  readonly removed: number
  /** Whether it was the host's own key; then a login with it was tried, and refused. */
  readonly own: boolean
}

/**
 * Takes a key out of the host's authorized_keys: the one with this fingerprint, else the host's own. The own one is proved to be
 * refused afterwards, and put aside here.
 */
export async function revokeKey(subject: Subject, wanted: string | undefined): Promise<RevocationReport> {
  return subject.files.alone(async () => {
    const { host: { id: vmId }, files, runtime, signal, onStep } = subject
    const current = await files.current()
    const fingerprint = wanted ?? current?.fingerprint
    if (fingerprint === undefined) throw remexError('KEY_NOT_FOUND', `${vmId} has no key of its own to revoke`, { vmId, hint: 'To revoke another key: --fingerprint SHA256:…, as `remex keys status` shows it.' })
    const { result: removed } = await runtime.dispatcher.step(vmId, { operation: 'key_remove', userKey: fingerprint, signal }, (on) =>
      editAuthorizedKeys(on, (text) => {
        const keys = authorizedKeys(text).map(({ key }) => key).filter((key) => fingerprintOf(key.blob) === fingerprint)
        const { text: left, removed: lines } = withoutKeys(text, keys)
        return { text: left, result: lines.length }
      }),
    )
    onStep(removed === 0 ? `${fingerprint} was not in authorized_keys` : `took ${fingerprint} out of authorized_keys`)
    if (!current || current.fingerprint !== fingerprint) return { vmId, fingerprint, removed, own: false }
    if (await isLetIn(subject, current)) throw stillIn(subject, fingerprint)
    onStep('a login with it is refused')
    // A key file of several hosts is still needed for the others.
    if (subject.host.identityFile === undefined) await runtime.dispatcher.step(vmId, { operation: 'key_retire', userKey: fingerprint, signal }, () => files.retire(new Date(runtime.clock.now())))
    return { vmId, fingerprint, removed, own: true }
  })
}

function stillIn({ host: { id: vmId } }: Subject, fingerprint: string): Error {
  return remexError('PERMISSION_DENIED', `${vmId} still lets the key ${fingerprint} in, though it is not in ~/.ssh/authorized_keys any more`, {
    vmId,
    hint: 'The host has it elsewhere: see AuthorizedKeysFile, AuthorizedKeysCommand and TrustedUserCAKeys in its sshd_config.',
  })
}
