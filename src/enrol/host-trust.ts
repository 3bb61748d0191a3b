import type { AuditLog } from '../audit/log.ts'
import type { Config, HostConfig } from '../config/types.ts'
import { asRemexError, remexError, type RemexError } from '../core/errors.ts'
import { fingerprint, type HostKey } from '../core/host-key.ts'
import { usableHost } from '../fleet/roster.ts'
import { forgetHostKeys, trustHostKeys } from '../keys/enrol-host-key.ts'
import { HostKeyStore, type HostKeyVerdict, type KnownHostKey } from '../keys/known-hosts.ts'
import type { Engine } from '../transport/contract.ts'

/** What enrolment needs. */
export interface EnrolRuntime {
  readonly config: Config
  readonly engine: Engine
  readonly audit: () => Promise<AuditLog>
  readonly user: string
}

/** A key that a host shows, with what is known of it. Nothing is proven by its being shown. */
export interface OfferedKey {
  readonly key: HostKey
  readonly fingerprint: string
  readonly status: HostKeyVerdict['kind']
  /** Why it must not be trusted as things are: it contradicts what is known, or is revoked. Null: nothing speaks against it. */
  readonly refusal: RemexError | null
}

/** Which of the keys a host shows to trust. */
export type TrustChoice = { readonly fingerprint: string } | { readonly offers: readonly OfferedKey[] }

/** Host keys of the configuration's hosts: what they show, whom we trust. */
export class HostTrust {
  readonly #runtime: EnrolRuntime

  constructor(runtime: EnrolRuntime) {
    this.#runtime = runtime
  }

  /** The keys that the host shows now, compared with the known_hosts files. Rejects where it cannot be reached. */
  async offered(vmId: string): Promise<readonly OfferedKey[]> {
    const { config, engine } = this.#runtime
    const host = usableHost(config, vmId)
    const store = await HostKeyStore.load(config.settings.knownHostsPaths)
    const target = { vmId, address: host.address, port: host.port, connectTimeoutMs: config.settings.connectTimeoutMs }
    const keys = await engine.fetchHostKeys(target)
    const verdicts = keys.map((key) => ({ key, verdict: store.check(host.address, host.port, key) }))
    // A host that proves a known key may show further ones; one that proves none of them is another host, perhaps.
    const proven = verdicts.some(({ verdict }) => verdict.kind === 'trusted')
    return verdicts.map(({ key, verdict }) => ({ key, fingerprint: fingerprint(key.blob), status: verdict.kind, refusal: refusal(host, { key, verdict, proven }) }))
  }

  /**
   * Trusts keys of the host from now on, in the first known_hosts file; returns those that were new.
   * By fingerprint, exactly that key is fetched and trusted: `HOST_KEY_CHANGED` when the host does not show it.
   * An offer that has a refusal is refused with it: forget the old key first.
   */
  async trust(vmId: string, choice: TrustChoice): Promise<readonly HostKey[]> {
    const host = usableHost(this.#runtime.config, vmId)
    return this.#recorded('host_trust', host, async (path) => {
      const offers = 'offers' in choice ? choice.offers : [await this.#offerWith(vmId, choice.fingerprint)]
      for (const { refusal: refused } of offers) if (refused) throw refused
      const keys = offers.map((offer) => offer.key)
      return { keys: await trustHostKeys(path, { address: host.address, port: host.port, keys }), shown: keys }
    })
  }

  /** Forgets all keys of the host in all known_hosts files; returns what was removed. */
  async forget(vmId: string): Promise<readonly KnownHostKey[]> {
    const host = usableHost(this.#runtime.config, vmId)
    const { knownHostsPaths } = this.#runtime.config.settings
    return this.#recorded('host_forget', host, async () => {
      const removed = await forgetHostKeys(knownHostsPaths, { address: host.address, port: host.port })
      return { keys: removed, shown: removed.map(({ key }) => key) }
    })
  }

  async #offerWith(vmId: string, wanted: string): Promise<OfferedKey> {
    const offered = await this.offered(vmId)
    const found = offered.find((offer) => offer.fingerprint === wanted)
    if (found) return found
    const shown = offered.map((offer) => `${offer.key.type} ${offer.fingerprint}`).join(', ')
    throw remexError('HOST_KEY_CHANGED', `${vmId} does not show a key with the fingerprint ${wanted}; it shows ${shown || 'none'}`, { vmId, hint: 'Nothing was trusted. Get the fingerprint from the host itself: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' })
  }

  async #recorded<T>(event: string, host: HostConfig, work: (path: string) => Promise<{ keys: T; shown: readonly HostKey[] }>): Promise<T> {
    const { config, user } = this.#runtime
    const audit = await this.#runtime.audit()
    const who = { user_id: user, vm_id: host.id, address: host.address, login: host.login, operation: event }
    const entry = await audit.begin(who)
    try {
      const { keys, shown } = await work(config.settings.knownHostsPaths[0] ?? '')
      await audit.finish(entry, { status: 'success', host_key: shown.map((key) => fingerprint(key.blob)).join(' ') })
      return keys
    } catch (error) {
      await audit.finish(entry, { status: 'error', error_code: asRemexError(error).code })
      throw error
    }
  }
}

interface Shown {
  readonly key: HostKey
  readonly verdict: HostKeyVerdict
  readonly proven: boolean
}

function refusal({ id: vmId }: HostConfig, { key, verdict, proven }: Shown): RemexError | null {
  const shown = `${vmId} shows ${key.type} ${fingerprint(key.blob)}`
  if (verdict.kind === 'revoked') return remexError('HOST_KEY_REVOKED', `${shown}, which ${verdict.file}:${verdict.line} marks as @revoked`, { vmId })
  if (verdict.kind !== 'changed') return null
  const against = proven ? verdict.known.filter((old) => old.type === key.type) : verdict.known
  if (against.length === 0) return null
  const known = against.map((old) => `${old.type} ${old.fingerprint} (${old.file}:${old.line})`).join(', ')
  return remexError('HOST_KEY_CHANGED', `${shown}, but known is ${known}`, { vmId, hint: `Find out why before anything else. If the change is meant: remex hosts forget ${vmId}, then remex hosts trust ${vmId}` })
}
