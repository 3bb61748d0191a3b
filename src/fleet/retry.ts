import type { HostState } from '../core/host-state.ts'
import { isDurable } from './invocation.ts'
import type { Operation } from './operations.ts'
import type { RunRequest, ScriptRequest } from './requests.ts'

/** What is left of an earlier operation. */
export interface Rest {
  /** Hosts to try again. */
  readonly ids: readonly string[]
  /** Of those whose durable run may be there still: its id, by which it is attached to and not started twice. */
  readonly runIds: ReadonlyMap<string, string>
  /** Hosts on which the command may have run, so that it is not started again. */
  readonly unsure: readonly { readonly id: string; readonly state: HostState }[]
}

/** After these the command may have done its work, or a part of it; after `failed` and `signaled` it came to its own end. */
const MAY_HAVE_RUN: ReadonlySet<HostState> = new Set(['timed_out', 'cancelled', 'lost', 'not_recorded'])

/** Those of `ids` that did not succeed in `operation`. A host that had no part in it is none of them. */
export function restOf({ hosts }: Operation, ids: readonly string[], { options }: RunRequest | ScriptRequest): Rest {
  const again: string[] = []
  const runIds = new Map<string, string>()
  const unsure: Rest['unsure'][number][] = []
  for (const id of ids) {
    const outcome = hosts.get(id)
    if (!outcome || outcome.state === 'succeeded') continue
    const { state, runId } = outcome
    const attachable = isDurable(options) && runId !== null
    // What a deadline ended is over: where it may run twice, to attach to it once more would be a pity.
    const attach = MAY_HAVE_RUN.has(state) && attachable && !(options.idempotent && state === 'timed_out')
    if (attach) runIds.set(id, runId)
    if (attach || !MAY_HAVE_RUN.has(state) || options.idempotent) again.push(id)
    else unsure.push({ id, state })
  }
  return { ids: again, runIds, unsure }
}
