import { fanOut } from '../fleet/fan-out.ts'
import { asRemexError, withDetails, type RemexError } from '../core/errors.ts'
import { selectHosts, usableHost } from '../fleet/roster.ts'
import { hardenHost, type HardeningReport } from './hardening.ts'
import { keyFilesOf, type KeyRuntime, type Subject } from './key-access.ts'
import { revokeKey, type RevocationReport } from './key-revocation.ts'
import { rotateKey, type RotationReport } from './key-rotation.ts'
import { setUpKey, type SetupAnswers, type SetupReport } from './key-setup.ts'
import { keyHolders, keyStatus, type KeyHolders, type KeyStatus } from './key-status.ts'

/** How work with the key of one host is followed and stopped. */
export interface KeyOptions {
  /** Told what was done, as it is done, in words. */
  readonly onStep?: ((text: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** A row of {@link Keys.status}. */
export interface KeyStatusRow extends KeyStatus {
  /** Null where the host could not be asked. */
  readonly holders: KeyHolders | null
  /** Why not. */
  readonly error: RemexError | null
}

/** The keys that open the hosts: set up, looked after, replaced. Every step passes policy and audit. */
export class Keys {
  readonly #runtime: KeyRuntime

  constructor(runtime: KeyRuntime) {
    this.#runtime = runtime
  }

  /** From nothing to access by key. Safe to repeat. Rejects with why it could not be done; what worked before still works then. */
  async setup(vmId: string, { onStep, signal, ...answers }: SetupAnswers & KeyOptions = {}): Promise<SetupReport> {
    return setUpKey(this.#subject(vmId, { onStep, signal }), answers)
  }

  /** The key of each host that the target expression selects, and who else has one there; as the hosts answer. */
  async *status(targets: string | readonly string[] = 'all', { parallel, signal }: { readonly parallel?: number | undefined; readonly signal?: AbortSignal | undefined } = {}): AsyncGenerator<KeyStatusRow> {
    const { config } = this.#runtime
    const { ids } = selectHosts(config, targets)
    yield* fanOut(ids, parallel ?? config.settings.maxParallel, (vmId) => this.#statusOf(vmId, signal))
  }

  /** Replaces the host's key by a new one. The old one is put aside. Rejects with why it could not be done; a repeat goes on from there. */
  async rotate(vmId: string, options: KeyOptions = {}): Promise<RotationReport> {
    return rotateKey(this.#subject(vmId, options))
  }

  /** Takes a key out of the host: the one with this fingerprint, else the host's own. */
  async revoke(vmId: string, { fingerprint, ...options }: KeyOptions & { readonly fingerprint?: string | undefined } = {}): Promise<RevocationReport> {
    return revokeKey(this.#subject(vmId, options), fingerprint)
  }

  /** Lets the host's sshd accept keys alone, proves it, and undoes it where that fails. */
  async harden(vmId: string, options: KeyOptions & { readonly rollbackAfterMs?: number | undefined } = {}): Promise<HardeningReport> {
    return hardenHost(this.#subject(vmId, options), options.rollbackAfterMs)
  }

  /** Destroys the host's old keys that were put aside; resolves with their fingerprints. */
  async prune(vmId: string, options: KeyOptions = {}): Promise<readonly string[]> {
    const { files, runtime, signal } = this.#subject(vmId, options)
    return files.alone(async () => {
      const destroyed: string[] = []
      for (const old of await files.retired()) {
        await runtime.dispatcher.step(vmId, { operation: 'key_destroy', userKey: old.fingerprint, signal }, () => files.destroy(old))
        destroyed.push(old.fingerprint)
      }
      return destroyed
    })
  }

  async #statusOf(vmId: string, signal: AbortSignal | undefined): Promise<KeyStatusRow> {
    const subject = this.#subject(vmId, { signal })
    let known: KeyStatus | undefined
    try {
      known = await keyStatus(subject)
      return { ...known, holders: await keyHolders(subject), error: null }
    } catch (error) {
      const { keyRotationDays: rotationDays } = this.#runtime.config.settings
      const nothing = { vmId, source: null, type: null, fingerprint: null, ageDays: null, rotationDays, due: false }
      return { ...nothing, ...known, holders: null, error: withDetails(asRemexError(error), { vmId }) }
    }
  }

  #subject(vmId: string, { onStep = () => undefined, signal }: KeyOptions): Subject {
    const host = usableHost(this.#runtime.config, vmId)
    return { runtime: this.#runtime, host, files: keyFilesOf(this.#runtime, host), signal, onStep }
  }
}
