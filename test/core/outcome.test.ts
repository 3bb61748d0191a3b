import { describe, expect, it } from 'vitest'
import { remexError } from '../../src/core/errors.ts'
import { RunResult, type RunFacts } from '../../src/core/outcome.ts'

const FACTS: RunFacts = {
  runId: '20260131t120000-0123456789abcdef',
  vmId: 'vm01',
  user: 'operator',
  operation: 'run',
  command: 'echo hello',
  ended: 'exited',
  exitCode: 0,
  signal: null,
  stdoutRaw: Buffer.from('hello\n'),
  stderrRaw: Buffer.alloc(0),
  stdoutBytes: 6,
  stderrBytes: 0,
  truncated: false,
  outputIncomplete: false,
  executionTime: 0.043,
  timestamp: '2026-01-31T12:00:00.000Z',
  attempts: 1,
  failures: [],
  engine: 'ssh2',
  killed: null,
  error: null,
}

const json = (facts: Partial<RunFacts>): Record<string, unknown> =>
  JSON.parse(JSON.stringify(new RunResult({ ...FACTS, ...facts }))) as Record<string, unknown>

const output = (stdoutRaw: Buffer, stdoutBytes = stdoutRaw.length): Partial<RunFacts> => ({
  stdoutRaw,
  stdoutBytes,
  truncated: stdoutBytes > stdoutRaw.length,
})

describe('RunResult', () => {
  it('serialises to the promised object', () => {
    expect(json({})).toEqual({
      run_id: '20260131t120000-0123456789abcdef',
      vm_id: 'vm01',
      user: 'operator',
      operation: 'run',
      command: 'echo hello',
      ended: 'exited',
      exit_code: 0,
      signal: null,
      success: true,
      state: 'succeeded',
      stdout: 'hello\n',
      stderr: '',
      stdout_bytes: 6,
      stderr_bytes: 0,
      truncated: false,
      execution_time: 0.043,
      timestamp: '2026-01-31T12:00:00.000Z',
      attempts: 1,
      engine: 'ssh2',
      killed: null,
      error: null,
    })
  })

  const successes: readonly (readonly [string, Partial<RunFacts>, boolean])[] = [
    ['is a success when the command exited with 0', {}, true],
    ['is none when it exited with anything else', { exitCode: 1 }, false],
    ['is none after a signal', { ended: 'signaled', exitCode: null, signal: 'TERM' }, false],
    ['is none after a deadline', { ended: 'timed_out', exitCode: null }, false],
    ['is none when it is not known how it ended', { ended: 'lost', exitCode: null }, false],
    ['is none when the deadline passed and an exit status of 0 still came', { ended: 'timed_out', exitCode: 0 }, false],
  ]
  it.each(successes)('%s', (_sentence, facts, success) => {
    expect(new RunResult({ ...FACTS, ...facts }).success).toBe(success)
  })

  it('gives output that is UTF-8 as text, with its byte order mark', () => {
    expect(json(output(Buffer.from('\uFEFFgrüße 😀\n')))).toMatchObject({ stdout: '\uFEFFgrüße 😀\n' })
  })

  it('gives output that is not UTF-8 as base64 in place of the text', () => {
    const raw = Buffer.from([0x68, 0xff, 0x00, 0xfe])
    const object = json(output(raw))
    expect(object).not.toHaveProperty('stdout')
    expect(Buffer.from(String(object.stdout_base64), 'base64')).toEqual(raw)
    expect(object).toHaveProperty('stderr', '')
  })

  it('gives text that was cut in the middle of a character as text, without the cut character', () => {
    const raw = Buffer.from('ab€').subarray(0, 4)
    expect(json(output(raw, 5))).toMatchObject({ stdout: 'ab' })
  })

  it('does not take half a character at the real end for text', () => {
    expect(json(output(Buffer.from('ab€').subarray(0, 4)))).toHaveProperty('stdout_base64')
  })

  it('does not call the other stream cut when one was', () => {
    const half = Buffer.from('€').subarray(0, 2)
    const object = json({ ...output(Buffer.from('a'), 10), stderrRaw: half, stderrBytes: 2 })
    expect(object).toHaveProperty('stderr_base64', half.toString('base64'))
  })

  it('shows bytes that are not UTF-8 as U+FFFD in stdout and keeps them in stdoutRaw', () => {
    const result = new RunResult({ ...FACTS, ...output(Buffer.from([0x61, 0xff])) })
    expect(result.stdout).toBe('a\uFFFD')
    expect(result.stdoutRaw).toEqual(Buffer.from([0x61, 0xff]))
  })

  it('says that output may be incomplete only where it may be', () => {
    expect(json({})).not.toHaveProperty('output_incomplete')
    expect(json({ outputIncomplete: true })).toHaveProperty('output_incomplete', true)
  })

  it('carries the verdict and the error in their own JSON forms', () => {
    const error = remexError('TIMED_OUT', 'vm01: the deadline of 30s passed', { mayHaveRun: true })
    expect(json({ ended: 'timed_out', exitCode: null, killed: { ended: 4, survivors: [], scope: 'tree' }, error })).toMatchObject({
      ended: 'timed_out',
      exit_code: null,
      killed: { ended: 4, survivors: [] },
      error: { code: 'TIMED_OUT', message: 'vm01: the deadline of 30s passed', hint: error.hint, may_have_run: true },
    })
  })
})
