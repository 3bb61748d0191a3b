import { fingerprint } from '../core/host-key.ts'
import { agentOf } from '../keys/identities.ts'
import { authorizedKeys, type AuthorizedKey } from '../keys/authorized-keys.ts'
import type { StoredKey } from '../keys/key-store.ts'
import { readAuthorizedKeys } from './authorized-keys-file.ts'
import type { Subject } from './key-access.ts'

const DAY_MS = 86_400_000

/** Another key that opens the host. */
export interface OtherKey {
  readonly type: string
  /** `SHA256:…` */
  readonly fingerprint: string
  /** As the file has it; whoever wrote the file wrote this too. */
  readonly comment: string
  /** `from="10.0.0.1"` and the like; empty where there are none. */
  readonly options: string
  /** Whether it is an old key of ours, which a rotation that was cut left there. */
  readonly retired: boolean
}

/** The key of a host, and who else has one. */
export interface KeyStatus {
  readonly vmId: string
  /** `key_store`, `identity_file`, `agent`, or null where there is neither key nor agent. */
  readonly source: 'key_store' | 'identity_file' | 'agent' | null
  /** Null where the host has no key file. */
  readonly type: string | null
  readonly fingerprint: string | null
  /** Whole days. */
  readonly ageDays: number | null
  /** `key_rotation_days`. */
  readonly rotationDays: number
  /** Whether the key is as old as that. */
  readonly due: boolean
}

/** What a host has in its authorized_keys. */
export interface KeyHolders {
  /** Whether our key is there; null where we have none. */
  readonly authorized: boolean | null
  readonly others: readonly OtherKey[]
}

/** What our own files tell; asks no host. */
export async function keyStatus({ host, files, runtime }: Subject): Promise<KeyStatus> {
  const { keyRotationDays: rotationDays } = runtime.config.settings
  const current = await files.current()
  if (!current) {
    const hasAgent = (await agentOf(runtime.passphrases.env)) !== undefined
    return { vmId: host.id, source: hasAgent ? 'agent' : null, type: null, fingerprint: null, ageDays: null, rotationDays, due: false }
  }
  const ageDays = ageInDays(current, runtime.clock.now())
  const source = host.identityFile === undefined ? 'key_store' : 'identity_file'
  return { vmId: host.id, source, type: current.key.type, fingerprint: current.fingerprint, ageDays, rotationDays, due: isDue(ageDays, rotationDays) }
}

/** Who opens the host: asks it. Rejects as connecting does. */
export async function keyHolders({ host, files, runtime, signal }: Subject): Promise<KeyHolders> {
  const [current, retired] = [await files.current(), await files.retired()]
  const lines = await runtime.dispatcher.step(host.id, { operation: 'key_list', userKey: current?.fingerprint, signal }, async (on) => authorizedKeys(await readAuthorizedKeys(on)))
  const isOf = (line: AuthorizedKey, key: StoredKey): boolean => line.key.blob.equals(key.key.blob)
  const others = lines.filter((line) => !current || !isOf(line, current))
  return { authorized: current ? others.length < lines.length : null, others: others.map((line) => shownKey(line, retired.some((key) => isOf(line, key)))) }
}

/** How old a key is, in whole days. A clock that was set back does not make it negative. */
export function ageInDays({ since }: Pick<StoredKey, 'since'>, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - since.getTime()) / DAY_MS))
}

/** Whether a key of this age is to be replaced: from the very day on that `key_rotation_days` names. */
export function isDue(ageDays: number, rotationDays: number): boolean {
  return ageDays >= rotationDays
}

function shownKey({ key, comment, options }: AuthorizedKey, retired: boolean): OtherKey {
  const text = (latin1: string): string => Buffer.from(latin1, 'latin1').toString('utf8')
  return { type: key.type, fingerprint: fingerprint(key.blob), comment: text(comment), options: text(options), retired }
}
