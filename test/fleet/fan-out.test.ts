import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { fanOut } from '../../src/fleet/fan-out.ts'

/** A promise that is settled from outside. */
interface Job<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: Error): void
}

function job<T>(): Job<T> {
  let resolve: (value: T) => void = () => undefined
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<T>((done, fail) => [resolve, reject] = [done, fail])
  return { promise, resolve, reject }
}

async function taken<T>(results: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const result of results) all.push(result)
  return all
}

describe('a fan-out', () => {
  it('does everything once, never more at a time than allowed', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.nat(4), { maxLength: 30 }), fc.integer({ min: 1, max: 8 }), async (turns, parallel) => {
      let running = 0
      let most = 0
      const items = turns.map((count, index) => ({ count, index }))
      const work = async ({ count, index }: (typeof items)[number]): Promise<number> => {
        most = Math.max(most, ++running)
        for (let turn = 0; turn < count; turn++) await Promise.resolve()
        running--
        return index
      }
      const results = await taken(fanOut(items, parallel, work))
      expect(results.toSorted((a, b) => a - b)).toEqual(items.map(({ index }) => index))
      expect(most).toBe(Math.min(parallel, most))
    }))
  })

  it('uses all the room that it is given', async () => {
    const jobs = [job<string>(), job<string>(), job<string>()]
    const begun: number[] = []
    const results = fanOut([0, 1, 2], 2, (index) => (begun.push(index), (jobs[index] as Job<string>).promise))
    const first = results.next()
    expect(begun).toEqual([0, 1])
    jobs[1]?.resolve('one')
    expect(await first).toEqual({ value: 'one', done: false })
    expect(begun).toEqual([0, 1, 2])
    for (const one of jobs) one.resolve('other')
    expect(await taken(results)).toEqual(['other', 'other'])
  })

  it('gives results in the order in which they finish', async () => {
    const jobs = [job<string>(), job<string>(), job<string>()]
    const results = taken(fanOut(jobs, 3, ({ promise }) => promise))
    for (const [index, name] of [[2, 'c'], [0, 'a'], [1, 'b']] as const) {
      jobs[index]?.resolve(name)
      await jobs[index]?.promise
    }
    expect(await results).toEqual(['c', 'a', 'b'])
  })

  it('that is left early starts nothing more, and waits for what runs', async () => {
    const jobs = Array.from({ length: 6 }, () => job<string>())
    let begun = 0
    let left = false
    const leaving = (async () => {
      for await (const result of fanOut(jobs, 2, ({ promise }) => (begun++, promise))) if (result === 'first') break
      left = true
    })()
    jobs[0]?.resolve('first')
    // Whatever the first one sets in motion has happened by the next turn of the event loop.
    await new Promise(setImmediate)
    expect([begun, left]).toEqual([3, false])
    jobs[1]?.resolve('second')
    await new Promise(setImmediate)
    expect([begun, left]).toEqual([3, false])
    jobs[2]?.resolve('third')
    await leaving
    expect([begun, left]).toEqual([3, true])
  })

  it('throws what one piece of work throws, when all that runs has ended', async () => {
    const slow = job<string>()
    let ended = false
    void slow.promise.then(() => (ended = true))
    const results = taken(fanOut(['bad', 'slow', 'never'], 2, (item) => (item === 'bad' ? Promise.reject(new Error('broken')) : slow.promise)))
    slow.resolve('done')
    await expect(results).rejects.toThrow('broken')
    expect(ended).toBe(true)
  })

  it('of nothing ends at once', async () => {
    expect(await taken(fanOut([], 4, () => Promise.resolve(1)))).toEqual([])
  })
})
