import type { RemexError } from '../core/errors.ts'
import { RunResult } from '../core/outcome.ts'
import type { SessionReport } from '../session/session.ts'

/** What a result says of a run besides how it went. */
export type About = Pick<RunResult, 'runId' | 'vmId' | 'user' | 'operation' | 'command'>

/** The result of a run that never began, or of which nothing is known. */
export function notStarted(about: About, error: RemexError, now: number): RunResult {
  return new RunResult({ ...about, ...neverRan(error, now) })
}

/** The report of what never ran. */
export function neverRan(error: RemexError, now: number): Omit<SessionReport, 'connection'> {
  return {
    ended: error.mayHaveRun ? 'lost' : 'not_started',
    exitCode: null,
    signal: null,
    stdoutRaw: Buffer.alloc(0),
    stderrRaw: Buffer.alloc(0),
    stdoutBytes: 0,
    stderrBytes: 0,
    truncated: false,
    outputIncomplete: false,
    executionTime: 0,
    timestamp: new Date(now).toISOString(),
    attempts: 0,
    failures: [],
    engine: null,
    killed: null,
    error,
  }
}
