import { describe, expect, it } from 'vitest'
import { RateLimit } from '../../src/transfer/rate-limit.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'

describe('a rate limit', () => {
  it('lets the first pass at once, and the next when the first has had its time', async () => {
    const clock = new FakeClock()
    const limit = new RateLimit(1000, clock)
    await limit.take(500, undefined)
    const passed: string[] = []
    const second = limit.take(1000, undefined).then(() => passed.push('second'))
    const third = limit.take(1, undefined).then(() => passed.push('third'))
    await clock.advance(499)
    expect(passed).toEqual([])
    await clock.advance(1)
    await second
    expect(passed).toEqual(['second'])
    await clock.advance(1000)
    await third
    expect(passed).toEqual(['second', 'third'])
  })

  it('owes nothing for time in which nobody took', async () => {
    const clock = new FakeClock()
    const limit = new RateLimit(1000, clock)
    await limit.take(100, undefined)
    await clock.advance(60_000)
    await limit.take(100, undefined)
    const late = limit.take(100, undefined)
    await clock.advance(100)
    await late
  })

  it('ends a wait as every part of a transfer ends, so that what was written is kept', async () => {
    const clock = new FakeClock()
    const limit = new RateLimit(1, clock)
    await limit.take(1000, undefined)
    const cancel = new AbortController()
    const waiting = limit.take(1, cancel.signal)
    cancel.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it('slows a source by what it gave', async () => {
    const clock = new FakeClock()
    const slow = new RateLimit(10, clock).slowed({ read: async (into) => Math.min(20, into.length) }, undefined)
    expect(await slow.read(Buffer.alloc(64))).toBe(20)
    const second = slow.read(Buffer.alloc(64))
    await clock.advance(2000)
    expect(await second).toBe(20)
  })
})
