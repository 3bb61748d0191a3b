import { describe, expect, it } from 'vitest'
import {
  asRemexError,
  AuthenticationError,
  CommandTimeoutError,
  ERRORS,
  HostKeyMismatchError,
  remexError,
  RemexError,
  SSHConnectionError,
  withDetails,
  type ErrorCode,
} from '../../src/core/errors.ts'

const CODES = Object.keys(ERRORS) as ErrorCode[]

/** The codes that users were promised; scripts depend on them. */
const PROMISED = `USAGE CONFIG_NOT_FOUND CONFIG_INVALID HOST_UNKNOWN HOST_NOT_ALLOWED POLICY_DENIED KEY_NOT_FOUND KEY_UNUSABLE
  HOST_KEY_UNKNOWN HOST_KEY_CHANGED HOST_KEY_REVOKED UNREACHABLE THROTTLED HANDSHAKE_FAILED AUTH_FAILED CONNECT_TIMEOUT
  CONNECTION_LOST CHANNEL_REFUSED TIMED_OUT CANCELLED RUN_NOT_FOUND LOCAL_NOT_FOUND REMOTE_NOT_FOUND PERMISSION_DENIED NO_SPACE
  CHECKSUM_MISMATCH CHECKSUM_UNAVAILABLE TRANSFER_FAILED SUDO_FAILED AUDIT_UNAVAILABLE INTERNAL`.split(/\s+/)

describe('the error table', () => {
  it('has every promised code', () => {
    expect(CODES).toEqual(expect.arrayContaining(PROMISED))
  })

  it.each(CODES)('says of %s what happened and what to do, in whole sentences', (code) => {
    const { summary, hint } = ERRORS[code]
    expect(summary).toMatch(/^\S.{10,}\.$/)
    expect(hint).toMatch(/^[A-Z].{10,}$/)
  })

  it.each(CODES)('gives %s an exit status and an HTTP status of a failure', (code) => {
    expect([124, 125, 130]).toContain(ERRORS[code].exitStatus)
    expect(ERRORS[code].httpStatus).toBeGreaterThanOrEqual(400)
    expect(ERRORS[code].httpStatus).toBeLessThan(600)
  })

  it('ends with 124 for a deadline alone and with 130 for a cancel alone', () => {
    const withStatus = (status: number): string[] => CODES.filter((code) => ERRORS[code].exitStatus === status)
    expect(withStatus(124)).toEqual(['TIMED_OUT'])
    expect(withStatus(130)).toEqual(['CANCELLED'])
  })

  const FINAL = /^(USAGE|CONFIG|HOST|POLICY|KEY|AUTH|SUDO|AUDIT|PERMISSION|TIMED_OUT|CANCELLED|INTERNAL)|NOT_FOUND/
  it.each(CODES.filter((code) => FINAL.test(code)))('never calls %s retryable, since a repeat cannot help', (code) => {
    expect(ERRORS[code].retryable).toBe(false)
  })

  it('calls retryable what goes away by itself', () => {
    const passing = ['UNREACHABLE', 'THROTTLED', 'CONNECT_TIMEOUT', 'CHANNEL_REFUSED'] as const
    expect(passing.filter((code) => !ERRORS[code].retryable)).toEqual([])
  })
})

describe('remexError', () => {
  const classes: readonly (readonly [ErrorCode, typeof RemexError, string])[] = [
    ['UNREACHABLE', SSHConnectionError, 'SSHConnectionError'],
    ['CONNECTION_LOST', SSHConnectionError, 'SSHConnectionError'],
    ['HOST_KEY_CHANGED', HostKeyMismatchError, 'HostKeyMismatchError'],
    ['AUTH_FAILED', AuthenticationError, 'AuthenticationError'],
    ['TIMED_OUT', CommandTimeoutError, 'CommandTimeoutError'],
    ['USAGE', RemexError, 'RemexError'],
  ]
  it.each(classes)('makes %s an instance of its class, named after it', (code, Class, name) => {
    const error = remexError(code, 'vm01: it went wrong')
    expect(error).toBeInstanceOf(Class)
    expect(error).toBeInstanceOf(RemexError)
    expect(error).toBeInstanceOf(Error)
    expect(error.name).toBe(name)
    expect(String(error)).toBe(`${name}: vm01: it went wrong`)
  })

  it('takes the hint of the table unless it is given one', () => {
    expect(remexError('USAGE', 'm').hint).toBe(ERRORS.USAGE.hint)
    expect(remexError('USAGE', 'm', { hint: 'do that' }).hint).toBe('do that')
  })

  it('serialises to code, message, hint and may_have_run, and nothing else', () => {
    const details = { mayHaveRun: true, vmId: 'vm01', result: { secret: 1 }, cause: new Error('raw') }
    const error = remexError('CONNECTION_LOST', 'vm01: gone', details)
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: 'CONNECTION_LOST',
      message: 'vm01: gone',
      hint: ERRORS.CONNECTION_LOST.hint,
      may_have_run: true,
    })
  })

  it('is not retryable once a command may have run, whatever its code', () => {
    expect(remexError('UNREACHABLE', 'm').retryable).toBe(true)
    expect(remexError('UNREACHABLE', 'm', { mayHaveRun: true }).retryable).toBe(false)
  })

  it('keeps the cause, and has none where none is given', () => {
    const cause = new Error('raw')
    expect(remexError('INTERNAL', 'm', { cause }).cause).toBe(cause)
    expect('cause' in remexError('INTERNAL', 'm')).toBe(false)
  })
})

describe('asRemexError', () => {
  it('leaves our own error as it is', () => {
    const error = remexError('USAGE', 'm')
    expect(asRemexError(error)).toBe(error)
  })

  it.each([
    ['an Error', new TypeError('x is not a function'), 'x is not a function'],
    ['a text', 'thrown text', 'thrown text'],
    ['nothing', undefined, 'undefined'],
  ])('makes INTERNAL of %s and keeps it as the cause', (_name, thrown, message) => {
    expect(asRemexError(thrown)).toMatchObject({ code: 'INTERNAL', message })
    expect(asRemexError(thrown).cause).toBe(thrown)
  })
})

describe('withDetails', () => {
  it('adds details and keeps class, message and what it does not name', () => {
    const cause = new Error('raw')
    const error = withDetails(remexError('AUTH_FAILED', 'm', { hint: 'h', cause }), { vmId: 'vm01', mayHaveRun: undefined })
    expect(error).toBeInstanceOf(AuthenticationError)
    expect(error).toMatchObject({ code: 'AUTH_FAILED', message: 'm', hint: 'h', vmId: 'vm01', mayHaveRun: false })
    expect(error.cause).toBe(cause)
  })
})
