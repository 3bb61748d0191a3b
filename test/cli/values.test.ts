import { describe, expect, it } from 'vitest'
import { formatBytes } from '../../src/cli/byte-size.ts'
import { parseEnvironment } from '../../src/cli/environment.ts'
import { runStatus } from '../../src/cli/exit-status.ts'
import { moment, octalMode, sizeBytes, wholeNumber } from '../../src/cli/values.ts'
import { remexError, type ErrorCode } from '../../src/core/errors.ts'
import { RunResult, type RunFacts } from '../../src/core/outcome.ts'
import { Secret } from '../../src/core/secret.ts'

describe('a size', () => {
  it.each([
    ['0', 0],
    ['65536', 65536],
    ['64k', 65536],
    ['10M', 10_485_760],
    ['1GiB', 1_073_741_824],
  ])('%s is a number of bytes', (text, bytes) => {
    expect(sizeBytes('--max-output')(text)).toBe(bytes)
  })

  it.each(['', '-1', '1.5M', '10 M', '1T', 'M', '99999999999999999999'])('is not %j', (text) => {
    expect(() => sizeBytes('--max-output')(text)).toThrow(/^--max-output: .* is not a size$/)
  })
})

describe('a mode', () => {
  it.each([
    ['0640', 0o640],
    ['755', 0o755],
    ['4755', 0o4755],
    ['0000', 0],
  ])('%s is octal', (text, mode) => {
    expect(octalMode(text)).toBe(mode)
  })

  it.each(['', '8', '0999', '64', '00640x', 'u+x', '-640', '0o640'])('is not %j', (text) => {
    expect(() => octalMode(text)).toThrow(/is not a mode in octal/)
  })
})

describe('a whole number', () => {
  it.each(['', '0', '-1', '1.5', '1e3', 'x', '9007199254740993'])('of at least 1 is not %j', (text) => {
    expect(() => wholeNumber('--parallel', 1)(text)).toThrow(/^--parallel: .* is not a whole number of at least 1$/)
  })
})

describe('a moment', () => {
  const now = Date.parse('2026-01-31T12:00:00Z')
  it.each([
    ['2026-01-31', '2026-01-31T00:00:00.000Z'],
    ['2026-01-31T10:00:00+01:00', '2026-01-31T09:00:00.000Z'],
    ['2h', '2026-01-31T10:00:00.000Z'],
    ['7d', '2026-01-24T12:00:00.000Z'],
  ])('is %s', (text, iso) => {
    expect(moment('--since', now)(text).toISOString()).toBe(iso)
  })

  it.each(['', 'yesterday', '5', '2026', '2026-13-01'])('is not %j', (text) => {
    expect(() => moment('--since', now)(text)).toThrow(/^--since: .* is no date$/)
  })
})

describe('the environment of a command', () => {
  it('has plain values as text and secret ones as secrets, from here where no value is given', () => {
    const variables = parseEnvironment(['A=1', 'B=x=y', 'C='], ['PW=p=q', 'TOKEN'], { TOKEN: 'from here' })
    expect(variables).toEqual({ A: '1', B: 'x=y', C: '', PW: new Secret('p=q'), TOKEN: new Secret('from here') })
    expect(variables['PW']).toBeInstanceOf(Secret)
    expect(JSON.stringify(variables)).not.toContain('from here')
  })

  it.each([
    ['a value without a name', ['=hunter2'], []],
    ['a value alone', ['hunter2'], []],
    ['a secret that is not set here', [], ['NOT_SET']],
    ['a secret with a name that is none', [], ['hunter2 hunter2=x']],
  ])('refuses %s, without repeating what may be a value', (_, plain, secret) => {
    const refused = (): unknown => parseEnvironment(plain, secret, {})
    expect(refused).toThrow(expect.objectContaining({ code: 'USAGE' }))
    expect(refused).not.toThrow(/hunter2/)
  })
})

describe('the exit status of one host', () => {
  const result = (facts: Partial<RunFacts>): RunResult => new RunResult({ ended: 'exited', exitCode: 0, signal: null, error: null, ...facts } as RunFacts)
  const failed = (ended: RunFacts['ended'], code: ErrorCode): RunResult => result({ ended, exitCode: null, error: remexError(code, 'x') })

  it.each([
    ['the command’s own', result({ exitCode: 255 }), 255],
    ['128 and the signal', result({ ended: 'signaled', exitCode: null, signal: 'TERM' }), 143],
    ['125 for a signal that there is not here', result({ ended: 'signaled', exitCode: null, signal: 'EMT@x' }), 125],
    ['124 after the deadline', failed('timed_out', 'TIMED_OUT'), 124],
    ['130 after a cancel', failed('cancelled', 'CANCELLED'), 130],
    ['125 where nobody knows how it ended', failed('lost', 'CONNECTION_LOST'), 125],
    ['125 where it never started', failed('not_started', 'UNREACHABLE'), 125],
    ['125 where it exited but the log could not be told', result({ error: remexError('AUDIT_UNAVAILABLE', 'x') }), 125],
  ])('is %s', (_, outcome, status) => {
    expect(runStatus(outcome)).toBe(status)
  })
})

describe('bytes for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [1234, '1.2 kB'],
    [9960, '10 kB'],
    [999_999, '1.0 MB'],
    [505_000_000, '505 MB'],
    [5e15, '5000 TB'],
  ])('%i are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text)
  })
})
