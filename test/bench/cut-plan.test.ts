import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../bench/lib/random.ts'
import { momentOf, MOST_BYTES, planOf, sizeOf, type TrafficModel } from '../../bench/transfer/cut-plan.ts'

describe('transfers that are to be interrupted', () => {
  it('are half up and half down, and of each ten one has its client killed and three the server', () => {
    const plans = Array.from({ length: 200 }, (_, index) => planOf(index, seededRandom(index)))
    const count = (direction: string, kind: string): number => plans.filter((plan) => plan.direction === direction && plan.kind === kind).length
    for (const direction of ['up', 'down']) {
      expect([count(direction, 'client killed'), count(direction, 'server killed'), count(direction, 'connection cut')]).toEqual([10, 30, 60])
    }
    expect(plans.some(({ oldSizeBytes }) => oldSizeBytes === null)).toBe(true)
    expect(plans.some(({ oldSizeBytes }) => oldSizeBytes !== null)).toBe(true)
  })

  it('are the same for the same seed', () => {
    expect(planOf(7, seededRandom(5))).toEqual(planOf(7, seededRandom(5)))
    expect(planOf(7, seededRandom(5))).not.toEqual(planOf(7, seededRandom(6)))
  })

  it('have sizes of every order of magnitude, and none outside', () => {
    const random = seededRandom(1)
    const sizes = Array.from({ length: 20_000 }, () => sizeOf(random))
    expect(Math.min(...sizes)).toBe(0)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(MOST_BYTES)
    // ln 9 / ln 8 000 001 of them.
    const share = sizes.filter((size) => size >= MOST_BYTES / 9).length / sizes.length
    expect(share).toBeGreaterThan(0.12)
    expect(share).toBeLessThan(0.155)
  })

  it('are interrupted at any byte of what goes either way, and at none beyond', () => {
    const line = (base: number, perByte: number): { base: number; perByte: number } => ({ base, perByte })
    const up = { toServer: line(100, 1), toClient: line(10, 0) }
    const model: TrafficModel = { up, down: { toServer: up.toClient, toClient: up.toServer } }
    const random = seededRandom(2)
    const moments = Array.from({ length: 5000 }, () => momentOf(model, { direction: 'up', sizeBytes: 50 }, random))
    const offsets = (way: string): Set<number> => new Set(moments.filter((moment) => moment.way === way).map(({ afterBytes }) => afterBytes))
    expect([...offsets('toServer')].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 150 }, (_, index) => index + 1))
    expect([...offsets('toClient')].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 10 }, (_, index) => index + 1))
  })
})
