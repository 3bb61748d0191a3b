import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { planBatches, type BatchOptions, type HostCount } from '../../src/fleet/batches.ts'

const hosts = (count: number): string[] => Array.from({ length: count }, (_, index) => `vm${index}`)
const sizes = (count: number, options: BatchOptions): number[] => planBatches(hosts(count), options).map(({ ids }) => ids.length)

const count = (least: number): fc.Arbitrary<HostCount> => fc.oneof(fc.integer({ min: least, max: 500 }), fc.integer({ min: least, max: 100 }).map((percent): HostCount => `${percent}%`))

describe('batches', () => {
  it('have every host exactly once, in order, and none of them is empty', () => {
    fc.assert(fc.property(fc.nat(300), fc.option(count(1), { nil: undefined }), fc.nat(310), (all, batch, canary) => {
      const batches = planBatches(hosts(all), { batch, canary })
      expect(batches.flatMap(({ ids }) => ids)).toEqual(hosts(all))
      expect(batches.every(({ ids }) => ids.length > 0 || all === 0)).toBe(true)
    }))
  })

  it('are of one size, but for the canary and the last', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 300 }), count(1), fc.nat(20), (all, batch, canary) => {
      const others = planBatches(hosts(all), { batch, canary }).filter((one) => !one.canary).map(({ ids }) => ids.length)
      expect(new Set(others.slice(0, -1)).size).toBeLessThanOrEqual(1)
      expect(others.at(-1) ?? 0).toBeLessThanOrEqual(others[0] ?? 0)
    }))
  })

  it.each<readonly [string, number, BatchOptions, readonly number[]]>([
    ['without options are one', 7, {}, [7]],
    ['of a number have so many hosts', 7, { batch: 3 }, [3, 3, 1]],
    ['of more than there are are one', 3, { batch: 10 }, [3]],
    ['of a share are rounded up', 10, { batch: '25%' }, [3, 3, 3, 1]],
    ['of a share that is less than a host have one', 4, { batch: '1%' }, [1, 1, 1, 1]],
    ['of a share that comes out even are exact', 50, { batch: '10%' }, [5, 5, 5, 5, 5, 5, 5, 5, 5, 5]],
    ['of the whole are one', 3, { batch: '100%' }, [3]],
    ['begin with the canary', 7, { canary: 1 }, [1, 6]],
    ['of the rest begin behind the canary, their share is one of all', 10, { canary: 2, batch: '30%' }, [2, 3, 3, 2]],
    ['of a canary as large as all are one', 2, { canary: 5, batch: 1 }, [2]],
  ])('%s', (_, all, options, expected) => {
    expect(sizes(all, options)).toEqual(expected)
  })

  it('of two thousand hosts one by one are made in no time', () => {
    expect(planBatches(hosts(2000), { batch: 1 })).toHaveLength(2000)
  })
})

describe('the failures that are allowed', () => {
  it.each<readonly [string, number, BatchOptions, number]>([
    ['without options are without limit', 50, {}, Infinity],
    ['of batches are none', 50, { batch: 5 }, 0],
    ['behind a canary alone are without limit', 50, { canary: 1 }, Infinity],
    ['of 0 are none', 50, { maxFailures: 0 }, 0],
    ['of 3 are three, so that the fourth stops', 50, { maxFailures: 3, batch: 5 }, 3],
    ['of 10 % of 50 are five, so that the sixth stops', 50, { maxFailures: '10%' }, 5],
    ['of a share are rounded down', 19, { maxFailures: '10%' }, 1],
    ['of a share of few hosts are none', 9, { maxFailures: '10%' }, 0],
    ['of the whole are all', 9, { maxFailures: '100%' }, 9],
  ])('%s', (_, all, options, expected) => {
    expect(planBatches(hosts(all), options).at(-1)?.mostFailures).toBe(expected)
  })

  it('in a canary are none, whatever is allowed of the others', () => {
    expect(planBatches(hosts(9), { canary: 2, maxFailures: '50%' }).map(({ canary, mostFailures }) => [canary, mostFailures])).toEqual([[true, 0], [false, 4]])
  })
})

describe('a number of hosts', () => {
  it.each<readonly [string, unknown]>([
    ['a batch of none', { batch: 0 }],
    ['a share of nothing as a batch', { batch: '0%' }],
    ['a part of a host', { batch: 1.5 }],
    ['more than the whole', { batch: '101%' }],
    ['a share in words', { maxFailures: 'few' }],
    ['a share below nothing', { maxFailures: '-1%' }],
    ['fewer failures than none', { maxFailures: -1 }],
    ['a number as text', { maxFailures: '3' }],
    ['a canary that is a share', { canary: '10%' }],
    ['a canary below nothing', { canary: -1 }],
    ['nothing at all', { batch: null }],
  ])('is not %s', (_, options) => {
    expect(() => planBatches(hosts(5), options as BatchOptions)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
