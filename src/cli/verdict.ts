import { foldIds } from '../core/fold.ts'
import type { HostState } from '../core/host-state.ts'
import type { KillVerdict, RunResult } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'
import type { BatchStart } from '../fleet/rollout.ts'

/** The states whose words are not their names. */
const TEXTS: Readonly<Partial<Record<HostState, string>>> = { signaled: 'ended by a signal', host_key_refused: 'host key refused', login_refused: 'login refused' }

/** A state in a word or two, for a summary. */
export function stateText(state: HostState): string {
  return TEXTS[state] ?? state.replaceAll('_', ' ')
}

/** Why a run did not succeed, for the list behind a summary. */
export function reasonOf(result: RunResult): string {
  const { vmId, error, state, check } = result
  // Why the others were not tried is the same for all of them.
  if (state === 'not_tried') return error?.message.replace(`${vmId} was not tried`, stateText(state)) ?? stateText(state)
  if (!check) return endOf(result)
  return state === 'cancelled' ? 'the check was cancelled' : `check failed: ${error?.code ?? endOf(result)}`
}

function endOf({ ended, exitCode, signal, error, state }: RunResult): string {
  if (ended === 'exited' && !error) return `exit status ${exitCode ?? 'unknown'}`
  if (ended === 'signaled') return `signal ${signal ?? 'unknown'}`
  return error && !['timed_out', 'cancelled'].includes(state) ? `${stateText(state)} (${error.code})` : stateText(state)
}

/** Which hosts have their turn now. */
export function batchText({ number, of, ids, canary }: BatchStart): string {
  return `batch ${number} of ${of}${canary ? ', the canary' : ''}: ${printable(foldIds(ids))}`
}

/** Which check failed, and what it said. */
export function checkLines(result: RunResult): string[] {
  const said = [result.stdout, result.stderr].flatMap((text) => text.split('\n')).filter((line) => line.trim() !== '')
  return [`${result.vmId}: ${reasonOf(result)}`, ...said.map((line) => `  ${result.vmId}: ${printable(line)}`)]
}

/** What became of the processes on the host after a deadline or a cancel. */
export function verdictText({ ended, survivors, scope }: KillVerdict): string {
  if (scope === 'unknown') return 'the host could not be asked what still runs there'
  if (scope === 'group') return 'its process group was signalled; what else it started is not known (the host has no /proc)'
  const count = `${ended} ${ended === 1 ? 'process' : 'processes'} ended on the host`
  return survivors.length === 0 ? `${count}, none is left` : `${count}; still there: ${survivors.join(', ')}`
}

/** Why output may be missing: of a run on a channel, or of one that its host keeps (`durable`). */
export function incompleteText(durable: boolean): string {
  if (durable) return 'output is missing: what was past max_run_output_bytes was thrown away on the host'
  return 'a process that outlived the command holds its output open; output may be missing'
}
