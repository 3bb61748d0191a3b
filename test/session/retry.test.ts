import { describe, expect, it } from 'vitest'
import type { Clock } from '../../src/core/clock.ts'
import { remexError, type ErrorCode, type RemexError } from '../../src/core/errors.ts'
import { withRetries } from '../../src/session/retry.ts'

/** A clock whose sleeps pass at once and are remembered. */
function quickClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = []
  const total = (): number => slept.reduce((sum, ms) => sum + ms, 0)
  return { slept, now: total, monotonicMs: total, sleep: (ms) => (slept.push(ms), Promise.resolve()), after: () => () => undefined }
}

const failing = (code: ErrorCode): (() => Promise<RemexError>) => () => Promise.resolve(remexError(code, code))
const retryable = (error: RemexError): RemexError | undefined => (error.retryable ? error : undefined)

describe('retries', () => {
  it.each<[string, ErrorCode, number]>([
    ['an unreachable host is tried again', 'UNREACHABLE', 4],
    ['a throttled connection is tried again', 'THROTTLED', 4],
    ['a connect timeout is tried again', 'CONNECT_TIMEOUT', 4],
    ['a refused channel is tried again', 'CHANNEL_REFUSED', 4],
    ['a refused login is not', 'AUTH_FAILED', 1],
    ['a changed host key is not', 'HOST_KEY_CHANGED', 1],
    ['an unknown host key is not', 'HOST_KEY_UNKNOWN', 1],
    ['a denial is not', 'POLICY_DENIED', 1],
    ['a missing key is not', 'KEY_NOT_FOUND', 1],
    ['a missing remote file is not', 'REMOTE_NOT_FOUND', 1],
    ['a wrong configuration is not', 'CONFIG_INVALID', 1],
    ['a passed deadline is not', 'TIMED_OUT', 1],
  ])('%s', async (_sentence, code, attempts) => {
    const clock = quickClock()
    const retried = await withRetries({ attempts: 4, budgetMs: Infinity, signal: undefined, clock, random: () => 1 }, failing(code), retryable)
    expect(retried).toMatchObject({ attempts, outcome: { code } })
    expect(retried.failures).toEqual(Array.from({ length: attempts - 1 }, () => code))
  })

  it('nothing that may have run is tried again', () => {
    expect(remexError('CONNECTION_LOST', 'lost', { mayHaveRun: true }).retryable).toBe(false)
    expect(remexError('CONNECTION_LOST', 'lost before it was sent').retryable).toBe(true)
  })

  it('waits are 1, 2, 4 … seconds and at most 30', async () => {
    const clock = quickClock()
    await withRetries({ attempts: 8, budgetMs: Infinity, signal: undefined, clock, random: () => 1 }, failing('UNREACHABLE'), retryable)
    expect(clock.slept).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  })

  it('a wait is any part of its length, by chance', async () => {
    const clock = quickClock()
    await withRetries({ attempts: 3, budgetMs: Infinity, signal: undefined, clock, random: () => 0.25 }, failing('UNREACHABLE'), retryable)
    expect(clock.slept).toEqual([250, 500])
  })

  it('no attempt begins after the budget', async () => {
    const clock = quickClock()
    const { attempts } = await withRetries({ attempts: 50, budgetMs: 10_000, signal: undefined, clock, random: () => 1 }, failing('UNREACHABLE'), retryable)
    expect(attempts).toBe(4)
  })

  it('a cancel ends the waiting', async () => {
    const cancel = new AbortController()
    const clock = { ...quickClock(), sleep: () => (cancel.abort(), Promise.reject(new Error('aborted'))) }
    const { attempts } = await withRetries({ attempts: 5, budgetMs: Infinity, signal: cancel.signal, clock }, failing('UNREACHABLE'), retryable)
    expect(attempts).toBe(1)
  })
})
