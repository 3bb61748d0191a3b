import { describe, expect, it } from 'vitest'
import { measure, type Contender, type Row } from '../../bench/harness.ts'
import { median } from '../../bench/lib/median.ts'

/** A contender whose samples are given, and who notes its turns. */
function given(name: string, samples: readonly number[], turns: string[] = []): Contender {
  const left = [...samples]
  return {
    name,
    run: () => {
      turns.push(name)
      return Promise.resolve(left.shift())
    },
  }
}

const row = (contenders: Row['contenders'], more: Partial<Row> = {}): Row => ({ id: 'row', title: 'Row', unit: 'ms', contenders, warmUps: 0, ...more })

describe('measure', () => {
  it('lets the contenders take turns, and does not count the warm-up', async () => {
    const turns: string[] = []
    const result = await measure(row([given('a', [99, 1, 2], turns), given('b', [88, 3, 4], turns)], { warmUps: 1, rounds: 2 }))
    expect(turns).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
    expect(result.contenders.map(({ samples }) => samples)).toEqual([[1, 2], [3, 4]])
  })

  it('takes the ratio round by round, so that a machine that slows down is fair to all', async () => {
    const result = await measure(row([given('a', [10, 10, 100]), given('b', [5, 5, 50])], { rounds: 3 }))
    expect(result.contenders.map(({ median: middle, ratio }) => ({ middle, ratio }))).toEqual([{ middle: 10, ratio: 1 }, { middle: 5, ratio: 0.5 }])
  })

  it('takes the time where a contender gives no number', async () => {
    const { contenders } = await measure(row([{ name: 'a', run: () => Promise.resolve(undefined) }], { rounds: 1 }))
    expect(contenders[0]?.median).toBeGreaterThanOrEqual(0)
    expect(contenders[0]?.median).toBeLessThan(1000)
  })

  it.each([
    ['a ratio at its limit is reached', { of: 'ratio', atMost: 0.5 }, true],
    ['a ratio over its limit is missed', { of: 'ratio', atMost: 0.49 }, false],
    ['a value at least as high as asked is reached', { of: 'value', atLeast: 5 }, true],
    ['a value that is too low is missed', { of: 'value', atLeast: 6 }, false],
  ] as const)('judges: %s', async (_what, goal, reached) => {
    const result = await measure(row([given('a', [10]), given('b', [5])], { rounds: 1, goal: { contender: 'b', ...goal } }))
    expect(result.reached).toBe(reached)
  })

  it.each([
    ['all reach', [5, 6], true],
    ['one misses', [5, 7], false],
    ['another misses', [7, 5], false],
  ] as const)('judges several contenders: %s', async (_what, [b, c], reached) => {
    const contenders = [given('a', [10]), given('b', [b]), given('c', [c])] as const
    const result = await measure(row([...contenders], { rounds: 1, goal: { contender: ['b', 'c'], of: 'value', atMost: 6 } }))
    expect(result.reached).toBe(reached)
  })

  it('refuses a goal for a contender that does not run', async () => {
    await expect(measure(row([given('a', [1])], { rounds: 1, goal: { contender: 'c', of: 'ratio', atMost: 1 } }))).rejects.toThrow('not a contender')
  })

  it('ends with the error of a contender that fails', async () => {
    await expect(measure(row([{ name: 'a', run: () => Promise.reject(new Error('broken')) }]))).rejects.toThrow('broken')
  })
})

describe('median', () => {
  it.each([
    ['one number', [3], 3],
    ['an odd count, in any order', [9, 1, 5], 5],
    ['an even count', [4, 1, 2, 3], 2.5],
    ['nothing', [], Number.NaN],
  ])('of %s', (_what, numbers, expected) => {
    expect(median(numbers)).toBe(expected)
  })
})
