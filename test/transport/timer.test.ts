import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { atMost } from '../../src/transport/timer.ts'

describe('waiting for no longer than a time', () => {
  beforeEach(() => { vi.useFakeTimers() })
  afterEach(() => { vi.useRealTimers() })

  it('comes to what was waited for, and leaves no timer behind', async () => {
    expect([await atMost(60_000, Promise.resolve('there')), vi.getTimerCount()]).toEqual(['there', 0])
  })

  it('comes to nothing when the time is over', async () => {
    const waiting = atMost(60_000, new Promise<string>(() => undefined))
    await vi.advanceTimersByTimeAsync(60_000)
    expect(await waiting).toBeUndefined()
  })

  it('rejects as what was waited for does, and leaves no timer behind', async () => {
    await expect(atMost(60_000, Promise.reject(new Error('it failed')))).rejects.toThrow('it failed')
    expect(vi.getTimerCount()).toBe(0)
  })
})
