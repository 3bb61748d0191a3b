import { describe, expect, test } from 'vitest'
import { FakeClock } from '../../testkit/fake-clock.ts'

describe('FakeClock', () => {
  test('stands still until it is advanced, and then moves both times', async () => {
    const clock = new FakeClock()
    const start = clock.now()
    await clock.advance(1500)
    expect([clock.now() - start, clock.monotonicMs()]).toEqual([1500, 1500])
  })

  test('wakes sleepers in the order of their time, each at its own time', async () => {
    const clock = new FakeClock()
    const woken: [string, number][] = []
    const sleep = async (name: string, ms: number): Promise<void> => {
      await clock.sleep(ms)
      woken.push([name, clock.monotonicMs()])
    }
    const all = Promise.all([sleep('third', 30), sleep('first', 10), sleep('second', 20), sleep('fourth', 30)])
    await clock.advance(30)
    await all
    expect(woken).toEqual([['first', 10], ['second', 20], ['third', 30], ['fourth', 30]])
  })

  test('leaves those asleep whose time has not come', async () => {
    const clock = new FakeClock()
    let awake = false
    const sleeping = clock.sleep(100).then(() => (awake = true))
    await clock.advance(99)
    expect([awake, clock.sleepers]).toEqual([false, 1])
    await clock.advance(1)
    await sleeping
    expect([awake, clock.sleepers]).toEqual([true, 0])
  })

  test('wakes those again who fall asleep again on the way', async () => {
    const clock = new FakeClock()
    const ticks: number[] = []
    const ticking = (async () => {
      while (ticks.length < 5) {
        await clock.sleep(10)
        ticks.push(clock.monotonicMs())
      }
    })()
    await clock.advance(50)
    await ticking
    expect(ticks).toEqual([10, 20, 30, 40, 50])
  })

  test('rejects with the reason of a signal, before and during the sleep, and forgets the sleeper', async () => {
    const clock = new FakeClock()
    const reason = new Error('enough')
    await expect(clock.sleep(10, AbortSignal.abort(reason))).rejects.toBe(reason)
    const controller = new AbortController()
    const sleeping = clock.sleep(Infinity, controller.signal)
    controller.abort(reason)
    await expect(sleeping).rejects.toBe(reason)
    expect(clock.sleepers).toBe(0)
  })

  test('jumps with the wall time alone, also back', () => {
    const clock = new FakeClock()
    const start = clock.now()
    clock.jump(-3_600_000)
    expect([clock.now() - start, clock.monotonicMs()]).toEqual([-3_600_000, 0])
  })

  test.each([-1, Number.NaN, Infinity])('does not move by %d ms', async (ms) => {
    await expect(new FakeClock().advance(ms)).rejects.toThrow(RangeError)
  })
})
