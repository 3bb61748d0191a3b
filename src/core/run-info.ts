/**
 * What is known of a durable run. `running`: its supervisor is alive. `lost`: it had begun, and nobody is left who
 * could tell how it ended. `not_started`: it certainly never ran. `unreachable`: only our own note is known, because the
 * host could not be asked.
 */
export type RunState = 'running' | 'exited' | 'signaled' | 'timed_out' | 'cancelled' | 'lost' | 'not_started' | 'unreachable'

/** One durable run, as our own registry and its host tell of it. */
export interface RunInfo {
  readonly runId: string
  readonly vmId: string
  readonly state: RunState
  /** What the state is known by, in words: `its supervisor (pid 4711) is alive`, `the host was rebooted since`. */
  readonly evidence: string
  /** For people; empty where it is not known. */
  readonly command: string
  /** Who started it, where our registry knows. */
  readonly user: string | null
  /** ISO 8601 in UTC; null where it is not known. */
  readonly startedAt: string | null
  readonly exitCode: number | null
  /** Signal name without `SIG`. */
  readonly signal: string | null
  /** Bytes that are kept on the host. */
  readonly stdoutBytes: number
  readonly stderrBytes: number
  /** Whether output past `max_run_output_bytes` was thrown away. */
  readonly cut: boolean
  /** Who knows of it: our registry, the host, or both. */
  readonly known: 'both' | 'registry' | 'host'
}
