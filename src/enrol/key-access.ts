import { join } from 'node:path'
import type { Config, HostConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { RemexError } from '../core/errors.ts'
import type { Identity } from '../core/identity.ts'
import type { Dispatcher } from '../fleet/dispatch.ts'
import { agentOf } from '../keys/identities.ts'
import { loadKeyFile, type PassphraseSource } from '../keys/key-file.ts'
import { HostKeyFiles, keyComment, type StoredKey } from '../keys/key-store.ts'
import type { KeyPair } from '../transport/contract.ts'
import type { HostTrust } from './host-trust.ts'

/** What the work with keys needs. */
export interface KeyRuntime {
  readonly config: Config
  /** Every step passes policy and audit by it. */
  readonly dispatcher: Pick<Dispatcher, 'step'>
  readonly trust: HostTrust
  readonly generateKey: (comment: string) => Promise<KeyPair>
  readonly passphrases: PassphraseSource
  /** Our own home, for the keys that ssh itself would use. */
  readonly home: string
  readonly clock: Clock
}

/** One host whose key is worked on. */
export interface Subject {
  readonly runtime: KeyRuntime
  readonly host: HostConfig
  readonly files: HostKeyFiles
  readonly signal: AbortSignal | undefined
  /** Told what was done, as it is done, in words. */
  readonly onStep: (text: string) => void
}

/** The key files of a host. */
export function keyFilesOf({ config }: Pick<KeyRuntime, 'config'>, { id: vmId, identityFile }: HostConfig): HostKeyFiles {
  return new HostKeyFiles({ vmId, identityFile, keyStoragePath: config.settings.keyStoragePath })
}

/** A key of ours as a way to log in. Rejects with `KEY_UNUSABLE`. */
export function identityOf({ runtime, host }: Subject, { path }: StoredKey): Promise<Identity> {
  return loadKeyFile({ path, vmId: host.id }, runtime.passphrases)
}

/** The next key of a host: one that an earlier attempt left, or a new one. */
export async function nextKey({ runtime, host, files, signal, onStep }: Subject): Promise<StoredKey> {
  const left = await files.next()
  if (left) return left
  return runtime.dispatcher.step(host.id, { operation: 'key_make', facts: ({ fingerprint }: StoredKey) => ({ user_key: fingerprint }), signal }, async () => {
    const made = await files.stage(await runtime.generateKey(keyComment(host.id, new Date(runtime.clock.now()))))
    onStep(`made an Ed25519 key, ${made.fingerprint}`)
    return made
  })
}

/** Whether the host lets this key in, by a login with it alone. Rejects with whatever else goes wrong. */
export async function isLetIn(subject: Subject, key: StoredKey): Promise<boolean> {
  const { runtime, host, signal } = subject
  const identities = [await identityOf(subject, key)]
  try {
    // How the command fares does not matter: it was started, so the login was good.
    await runtime.dispatcher.step(host.id, { operation: 'key_prove', userKey: key.fingerprint, identities, signal }, (on) => on.run(':'))
    return true
  } catch (error) {
    if (error instanceof RemexError && error.code === 'AUTH_FAILED') return false
    throw error
  }
}

/** Keys that may open a login before the host's own key does: the agent's, and those of our user that need no passphrase. */
export async function otherWaysIn({ runtime }: Subject): Promise<readonly Identity[]> {
  const agent = await agentOf(runtime.passphrases.env)
  const files = ['id_ed25519', 'id_ecdsa', 'id_rsa'].map((name) => ({ path: join(runtime.home, '.ssh', name), vmId: name }))
  const keys = await Promise.all(files.map((file) => loadKeyFile(file, { env: {} }).catch(() => undefined)))
  return [agent, ...keys].filter((way) => way !== undefined)
}
