import { RunResult, type RunFacts } from '../../../src/core/outcome.ts'

/** A result that succeeded, but for what is given. */
export function resultOf(vmId: string, facts: Partial<RunFacts> = {}): RunResult {
  return new RunResult({
    runId: '20260131t120000-0123456789abcdef',
    vmId,
    user: 'operator',
    operation: 'run',
    command: 'true',
    ended: 'exited',
    exitCode: 0,
    signal: null,
    stdoutRaw: Buffer.alloc(0),
    stderrRaw: Buffer.alloc(0),
    stdoutBytes: 0,
    stderrBytes: 0,
    truncated: false,
    outputIncomplete: false,
    executionTime: 0.1,
    timestamp: '2026-01-31T12:00:00.000Z',
    attempts: 1,
    failures: [],
    engine: 'ssh2',
    killed: null,
    error: null,
    ...facts,
  })
}

/** `vm001` … */
export function idsOf(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `vm${String(index + 1).padStart(3, '0')}`)
}
