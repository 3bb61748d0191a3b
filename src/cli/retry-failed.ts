import { foldIds } from '../core/fold.ts'
import type { HostState } from '../core/host-state.ts'
import { printable } from '../core/printable.ts'
import type { HostGroup } from '../fleet/group.ts'
import type { RunRequest, ScriptRequest } from '../fleet/requests.ts'
import { notice, type Door } from './door.ts'
import { stateText } from './verdict.ts'

/** Which run is taken up again, and what it ran. */
export interface Retry {
  /** Undefined: none, all hosts are meant. */
  readonly retryFailed: string | undefined
  readonly request: RunRequest | ScriptRequest
}

/**
 * Does `work` on the hosts of `group` that are to be tried: with `--retry-failed` on the rest of that run, else on all. Gives the
 * exit status, 1 where a host had to be left out because the command may have run there. Rejects with `RUN_NOT_FOUND`, and with
 * `USAGE` for another command.
 */
export async function onHostsToTry(door: Door, group: HostGroup, { retryFailed, request }: Retry, work: (group: HostGroup) => Promise<number>): Promise<number> {
  if (retryFailed === undefined) return work(group)
  const { group: rest, unsure } = await group.retrying(retryFailed, request)
  if (unsure.length > 0) {
    notice(door, `left out, for the command may have run there: ${byState(unsure)}`)
    notice(door, '  where running it twice is harmless, --idempotent takes them in')
  } else if (rest.ids.length === 0) notice(door, `nothing is left: every host succeeded in ${retryFailed}, or had no part in it`)
  const status = rest.ids.length > 0 ? await work(rest) : 0
  return status === 0 && unsure.length > 0 ? 1 : status
}

/** `vm03 (lost), vm[05-07] (timed out)` */
function byState(hosts: readonly { readonly id: string; readonly state: HostState }[]): string {
  const states = [...new Set(hosts.map(({ state }) => state))]
  const idsOf = (state: HostState): string[] => hosts.filter((host) => host.state === state).map(({ id }) => id)
  return states.map((state) => `${printable(foldIds(idsOf(state)))} (${stateText(state)})`).join(', ')
}
