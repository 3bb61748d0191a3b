import type { KillVerdict, RunResult } from '../core/outcome.ts'

/** How a run ended, in a word or two, for a summary. */
export function stateOf({ ended, success, error }: RunResult): string {
  if (success) return error ? 'not recorded' : 'succeeded'
  switch (ended) {
    case 'exited':
      return 'failed'
    case 'signaled':
      return 'ended by a signal'
    case 'timed_out':
      return 'timed out'
    case 'cancelled':
      return 'cancelled'
    case 'lost':
      return 'lost'
    case 'not_started':
      return error?.code === 'UNREACHABLE' || error?.code === 'CONNECT_TIMEOUT' ? 'unreachable' : 'not started'
  }
}

/** Why a run did not succeed, for the list behind a summary. */
export function reasonOf(result: RunResult): string {
  const { ended, exitCode, signal, error } = result
  if (ended === 'exited' && !error) return `exit status ${exitCode ?? 'unknown'}`
  if (ended === 'signaled') return `signal ${signal ?? 'unknown'}`
  const state = stateOf(result)
  return error && !['timed out', 'cancelled'].includes(state) ? `${state} (${error.code})` : state
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
