import type { RemexError } from './errors.ts'
import { hostState, type HostState } from './host-state.ts'

/**
 * How a run ended. `lost`: it was started, and nobody knows how it ended, or the connection broke after its end and before all of
 * its output had come. `not_started`: it certainly never ran.
 */
export type Ended = 'exited' | 'signaled' | 'timed_out' | 'cancelled' | 'lost' | 'not_started'

/** What a deadline or a cancel ended on the host. */
export interface KillVerdict {
  /** How many processes were ended. */
  readonly ended: number
  /** Process ids on the host that are still there. Empty when everything was ended. */
  readonly survivors: readonly number[]
  /**
   * What was looked at: `tree` is every process of the run, found through /proc; `group` only the process group,
   * because the host has no /proc (`ended` is then 0, the number is not known); `unknown` when the host could not
   * be asked, so that processes may still be running.
   */
  readonly scope: 'tree' | 'group' | 'unknown'
}

/** What a {@link RunResult} is made of. */
export interface RunFacts {
  readonly runId: string
  readonly vmId: string
  /** The audit identity of who asked. */
  readonly user: string
  readonly operation: 'run' | 'script'
  /** The command as people read it; never contains values of the environment. */
  readonly command: string
  readonly ended: Ended
  /** Null unless `ended` is `exited`. */
  readonly exitCode: number | null
  /** Signal name without `SIG` (`TERM`); null unless `ended` is `signaled`. */
  readonly signal: string | null
  /** Captured standard output, at most `max_output_bytes`. */
  readonly stdoutRaw: Buffer
  readonly stderrRaw: Buffer
  /** All bytes that the command wrote, captured or not. */
  readonly stdoutBytes: number
  readonly stderrBytes: number
  /** Whether one of the streams was longer than what was captured. */
  readonly truncated: boolean
  /** Whether a process that outlived the command still held its output open, so that output may be missing. */
  readonly outputIncomplete: boolean
  /** Seconds from the call to the end, failed attempts and their waits included. */
  readonly executionTime: number
  /** When it ended, ISO 8601 in UTC with milliseconds. */
  readonly timestamp: string
  /** Attempts to connect and start, 1 or more; 0 when it was refused before the first. */
  readonly attempts: number
  /** The codes of the attempts that failed before the last; mostly empty. */
  readonly failures: readonly string[]
  /** The SSH engine that served it; null when there was no connection. */
  readonly engine: string | null
  /** Null unless a deadline or a cancel had to end it. */
  readonly killed: KillVerdict | null
  /** Why there is no exit of the command's own; null when it exited or was ended by a signal. */
  readonly error: RemexError | null
  /** Whether the host's turn never came, because too many others had failed before, or everything was cancelled. Default: false. */
  readonly untried?: boolean
  /** Whether this is the check after the host's run, which failed. Default: false. */
  readonly check?: boolean
  /** The operation on several hosts that it belongs to. Default: none. */
  readonly opId?: string
}

/** How one command on one host ended, whatever its exit code. Serialises to the `--json` form. */
export class RunResult implements RunFacts {
  declare readonly runId: string
  declare readonly vmId: string
  declare readonly user: string
  declare readonly operation: 'run' | 'script'
  declare readonly command: string
  declare readonly ended: Ended
  declare readonly exitCode: number | null
  declare readonly signal: string | null
  declare readonly stdoutRaw: Buffer
  declare readonly stderrRaw: Buffer
  declare readonly stdoutBytes: number
  declare readonly stderrBytes: number
  declare readonly truncated: boolean
  declare readonly outputIncomplete: boolean
  declare readonly executionTime: number
  declare readonly timestamp: string
  declare readonly attempts: number
  declare readonly failures: readonly string[]
  declare readonly engine: string | null
  declare readonly killed: KillVerdict | null
  declare readonly error: RemexError | null
  declare readonly untried?: boolean
  declare readonly check?: boolean
  declare readonly opId?: string

  constructor(facts: RunFacts) {
    Object.assign(this, facts)
  }

  /** Whether the command exited with 0. */
  get success(): boolean {
    return this.ended === 'exited' && this.exitCode === 0
  }

  /** What became of the host, in one word: `succeeded`, `failed`, `unreachable`, … */
  get state(): HostState {
    return hostState({ ...this, untried: this.untried === true, check: this.check === true })
  }

  /** Captured standard output as UTF-8; bytes that are not become U+FFFD. `stdoutRaw` has the bytes. */
  get stdout(): string {
    return this.stdoutRaw.toString('utf8')
  }

  /** Captured standard error as UTF-8; bytes that are not become U+FFFD. `stderrRaw` has the bytes. */
  get stderr(): string {
    return this.stderrRaw.toString('utf8')
  }

  /** The object of `--json`; field names are stable. */
  toJSON(): Record<string, unknown> {
    return {
      run_id: this.runId,
      ...(this.opId === undefined ? {} : { op_id: this.opId }),
      vm_id: this.vmId,
      user: this.user,
      operation: this.operation,
      ...(this.check ? { check: true } : {}),
      command: this.command,
      ended: this.ended,
      exit_code: this.exitCode,
      signal: this.signal,
      success: this.success,
      state: this.state,
      ...streamJson('stdout', this.stdoutRaw, this.stdoutBytes),
      ...streamJson('stderr', this.stderrRaw, this.stderrBytes),
      stdout_bytes: this.stdoutBytes,
      stderr_bytes: this.stderrBytes,
      truncated: this.truncated,
      ...(this.outputIncomplete ? { output_incomplete: true } : {}),
      execution_time: this.executionTime,
      timestamp: this.timestamp,
      attempts: this.attempts,
      engine: this.engine,
      killed: this.killed,
      error: this.error,
    }
  }
}

/** `{stdout}` where the bytes are UTF-8, else `{stdout_base64}`. A cut in the middle of a character is not "not UTF-8". */
function streamJson(name: 'stdout' | 'stderr', raw: Buffer, writtenBytes: number): Record<string, string> {
  try {
    const cutShort = writtenBytes > raw.length
    return { [name]: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw, { stream: cutShort }) }
  } catch {
    return { [`${name}_base64`]: raw.toString('base64') }
  }
}
