import type { Config, HostConfig } from '../config/types.ts'
import { unlessAborted } from '../core/abort.ts'
import { fingerprint, formatHostKey, type HostKey } from '../core/host-key.ts'
import type { Dispatcher } from '../fleet/dispatch.ts'
import { renewHostKeys } from '../keys/enrol-host-key.ts'
import { HostKeyStore, type KnownHostKey } from '../keys/known-hosts.ts'
import { parsePinnedHostKey } from '../keys/pinned-host-key.ts'
import { weakness } from '../transport/algorithms.ts'

/** How to rotate. */
export interface RotateOptions {
  /** Only shows what would change. Default: false. */
  readonly dryRun?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a rotation came to. */
export interface HostKeyRotation {
  readonly vmId: string
  /** Whether the host announced keys and proved them; without that nothing changes. */
  readonly announced: boolean
  /** Known from now on. */
  readonly added: readonly HostKey[]
  /** No longer known, with the place where they were. */
  readonly removed: readonly KnownHostKey[]
  /** Known before and still. */
  readonly kept: readonly HostKey[]
  /** Of a host with `host_key` in the configuration, for which nothing is written: what to put there, one public key each. Else null. */
  readonly hostKey: readonly string[] | null
}

interface Proof {
  readonly host: HostConfig
  /** By which the host authenticated this connection; none where that was a certificate. */
  readonly current: readonly HostKey[]
  /** What it proved over it. */
  readonly proven: readonly HostKey[]
}

/** As UpdateHostKeys of ssh_config(5), in one step. Rejects as connecting does. */
export async function rotateHostKeys({ config, dispatcher }: { readonly config: Config; readonly dispatcher: Pick<Dispatcher, 'step'> }, vmId: string, { dryRun = false, signal }: RotateOptions): Promise<HostKeyRotation> {
  const { knownHostsPaths } = config.settings
  return dispatcher.step(vmId, { operation: 'host_rotate', about: dryRun ? ['dry run'] : undefined, signal, facts: factsOf }, async (on) => {
    const { hostKey } = await on.connect()
    const announced = await unlessAborted(on.provenHostKeys(), signal, 'the proof of host keys')
    const store = await HostKeyStore.load(knownHostsPaths)
    const proven = announced.filter((key) => !store.revoked(on.host, key))
    const current = hostKey.blob ? [{ type: hostKey.type, blob: hostKey.blob }] : []
    const proof = { host: on.host, current, proven }
    if (on.host.hostKeys.length > 0) return pinnedRotation(proof)
    const known = unique(store.known(on.host).map(({ key }) => key))
    if (proven.length === 0) return { vmId, announced: false, added: [], removed: [], kept: known, hostKey: null }
    const { added, removed } = await renewHostKeys(knownHostsPaths, { ...renewal(proof), mode: dryRun ? 'show' : 'write' })
    const gone = new Set(removed.map(({ key }) => formatHostKey(key)))
    return { vmId, announced: true, added: unique(added), removed, kept: known.filter((key) => !gone.has(formatHostKey(key))), hostKey: null }
  })
}

/** The key of this connection stays whatever else is said, so that never all keys go. */
function renewal({ host: { address, port }, current, proven }: Proof): Omit<Parameters<typeof renewHostKeys>[1], 'mode'> {
  const keys = unique([...current, ...proven])
  // A key of a type that could not have been proven is not missed.
  const isStale = (key: HostKey): boolean => weakness(key.blob) === undefined && !keys.some(({ blob }) => blob.equals(key.blob))
  return { address, port, keys, isStale }
}

function pinnedRotation({ host, current, proven }: Proof): HostKeyRotation {
  const pins = new Set(host.hostKeys.map((text) => parsePinnedHostKey(text).fingerprint))
  const keys = unique([...current, ...proven])
  const kept = keys.filter((key) => pins.has(fingerprint(key.blob)))
  return { vmId: host.id, announced: proven.length > 0, added: [], removed: [], kept, hostKey: keys.map(formatHostKey) }
}

function unique(keys: readonly HostKey[]): readonly HostKey[] {
  return [...new Map(keys.map((key) => [formatHostKey(key), key])).values()]
}

function factsOf({ kept, added }: HostKeyRotation): { readonly host_key: string } {
  return { host_key: [...kept, ...added].map((key) => fingerprint(key.blob)).join(' ') }
}
