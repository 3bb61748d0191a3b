import type { RunInfo } from '../core/run-info.ts'

/** The object of `--json`; field names are stable. */
export function runInfoRow(info: RunInfo): object {
  const { runId, vmId, state, evidence, command, user, startedAt, exitCode, signal, stdoutBytes, stderrBytes, cut, known } = info
  return {
    run_id: runId,
    vm_id: vmId,
    state,
    evidence,
    command,
    user,
    started_at: startedAt,
    exit_code: exitCode,
    signal,
    stdout_bytes: stdoutBytes,
    stderr_bytes: stderrBytes,
    cut,
    known,
  }
}

/** The state in a word or two: `running`, `exited 3`, `ended by KILL`, `timed out`. */
export function runStateText({ state, exitCode, signal }: RunInfo): string {
  if (state === 'exited') return `exited ${exitCode ?? '?'}`
  if (state === 'signaled') return `ended by ${signal ?? 'a signal'}`
  return state.replace('_', ' ')
}

/** Who knows of the run: `both`, `here only`, `host only`. */
export function knownText({ known, state }: RunInfo): string {
  // A host that could not be asked may know of it.
  if (state === 'unreachable') return 'here'
  return { both: 'both', registry: 'here only', host: 'host only' }[known]
}
