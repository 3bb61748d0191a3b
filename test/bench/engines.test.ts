import { existsSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { benchEngines, engineRows } from '../../bench/engines.ts'
import { clearedAway, type EngineEntry, type EngineStage } from '../../bench/engines/entry.ts'
import { grownIn, soakText, type Tenth } from '../../bench/engines/soak.ts'
import type { Row, RowResult } from '../../bench/harness.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { takePrinted } from './printed.ts'

const opened: { id: string; stage: EngineStage }[] = []
const cleared: string[] = []

function row(id: string, sample: number): EngineEntry {
  return {
    id,
    open: (stage) => clearedAway(async (afterwards) => {
      opened.push({ id, stage })
      afterwards(() => cleared.push(id))
      return contest(id, sample)
    }),
  }
}

const contest = (id: string, sample: number): Row => ({
  id,
  title: `About ${id}`,
  unit: 'ms',
  rounds: 2,
  contenders: [{ name: 'ssh', run: () => Promise.resolve(100) }, { name: 'openssh engine', run: () => Promise.resolve(sample) }],
  goal: { contender: 'openssh engine', of: 'ratio', atMost: 0.5 },
})

const skipping: EngineEntry = { id: 'skipping', open: () => Promise.resolve({ skipped: 'clush is not installed' }) }
const failing: EngineEntry = { id: 'failing', open: () => Promise.reject(new Error('the host shows another key')) }

describe('bench engines', () => {
  const printed = takePrinted()
  const lines = (): readonly RowResult[] => printed.lines() as RowResult[]
  beforeEach(() => {
    opened.length = cleared.length = 0
  })

  it('measures each row in turn in one workspace, which is gone afterwards', async () => {
    expect(await benchEngines([], [row('one', 50), row('two', 40)])).toBe(0)
    expect(printed.text).toContain('About one  [at most 0.5 ×: reached]')
    expect(cleared).toEqual(['one', 'two'])
    expect(opened.some(({ stage }) => existsSync(stage.space.disk.path))).toBe(false)
  })

  it('ends with 1 when a goal is missed', async () => {
    expect(await benchEngines([], [row('one', 51), row('two', 40)])).toBe(1)
  })

  it('goes on after a row that fails, and ends with 1', async () => {
    expect(await benchEngines(['--json'], [failing, row('one', 50)])).toBe(1)
    expect(lines()).toMatchObject([{ id: 'failing', failed: 'the host shows another key' }, { id: 'one', reached: true }])
  })

  it('says why a row is skipped, and does not count it', async () => {
    expect(await benchEngines([], [skipping])).toBe(0)
    expect(printed.text).toContain('skipping: skipped, clush is not installed')
  })

  it.each([
    ['an unknown row', ['--only', 'none'], 'there is no row none; there is one, soak'],
    ['a wrong number of rounds', ['--rounds', '0'], '--rounds 0'],
    ['fewer runs than there are parts', ['--only', 'soak', '--runs', '9'], '--runs 9'],
    ['runs without a soak', ['--runs', '1000'], '--runs is for --only soak'],
    ['a wrong date', ['--write', 'today'], '--write today'],
    ['to write down a quick look', ['--write', '2026-01-31', '--quick'], '--quick is no measurement'],
    ['an unknown option', ['--fast'], '--fast'],
  ])('refuses %s before it measures anything', async (_what, args, message) => {
    await expect(benchEngines(args, [row('one', 1)])).rejects.toThrow(message)
    expect(opened).toEqual([])
  })

  describe.skipIf(process.platform !== 'linux' || findProgram('sshd') === undefined || findProgram('ssh') === undefined)('on real servers', () => {
    it.skipIf(!existsSync('dist/cli.cjs'))('measures every row, and judges nothing with --quick', async () => {
      const status = await benchEngines(['--quick', '--json'])
      const results = lines()
      expect(results.flatMap((result): readonly unknown[] => ('failed' in result ? [result] : []))).toEqual([])
      expect(status).toBe(0)
      expect(results.map(({ id }) => id)).toEqual(engineRows.map(({ id }) => id))
      for (const result of results.filter((one) => !('skipped' in one))) {
        expect(result.contenders.filter(({ name }) => name.includes('openssh')).length).toBeGreaterThan(0)
        for (const { median } of result.contenders) expect(median).toBeGreaterThan(0)
      }
    }, 120_000)

    it('soaks only where that is asked for, and looks at both processes', async () => {
      expect(await benchEngines(['--quick', '--json', '--only', 'soak', '--runs', '40'])).toBe(0)
      const [result] = lines()
      expect(result).toMatchObject({ id: 'soak', runs: 40, tenths: Array.from({ length: 10 }, (_, index) => ({ runs: 4 * (index + 1) })) })
      const last: Tenth = Reflect.get(result ?? {}, 'tenths').at(-1)
      for (const { residentBytes, descriptors } of [last.ours, last.master]) {
        expect(residentBytes).toBeGreaterThan(1e6)
        expect(descriptors).toBeGreaterThan(3)
      }
      // A program written in C holds less than one that runs JavaScript.
      expect(last.master.residentBytes).toBeLessThan(last.ours.residentBytes)
    }, 60_000)
  })
})

describe('a row that is cleared away', () => {
  it('is so in the order against that of its making, each part even where another fails', async () => {
    const order: string[] = []
    const made = await clearedAway(async (afterwards) => {
      afterwards(() => order.push('first'))
      afterwards(() => Promise.reject(new Error('no luck')))
      afterwards(() => order.push('last'))
      return contest('one', 1)
    })
    await expect(made[Symbol.asyncDispose]()).rejects.toThrow('no luck')
    expect(order).toEqual(['last', 'first'])
  })

  it('is so as well where its opening fails half-way', async () => {
    const order: string[] = []
    const opening = clearedAway(async (afterwards) => {
      afterwards(() => order.push('server'))
      throw new Error('no connection')
    })
    await expect(opening).rejects.toThrow('no connection')
    expect(order).toEqual(['server'])
  })
})

describe('a soak', () => {
  const tenth = (more: { residentBytes?: number; descriptors?: number } = {}): Tenth => {
    const size = { residentBytes: 100e6, descriptors: 20, ...more }
    return { runs: 10, runsPerSecond: 500, ours: size, master: { residentBytes: 5e6, descriptors: 9 } }
  }

  it('may grow by 5 % and 2 MB after its second tenth, and by no descriptor', () => {
    expect(grownIn([tenth({ residentBytes: 1 }), tenth(), tenth({ residentBytes: 107e6 })])).toEqual([])
    expect(grownIn([tenth(), tenth(), tenth({ residentBytes: 107.1e6, descriptors: 21 })])).toEqual(['memory of our process by 7.1 MB', 'descriptors of our process by 1'])
    const master = { residentBytes: 7.3e6, descriptors: 9 }
    expect(grownIn([tenth(), tenth(), { ...tenth(), master }])).toEqual(['memory of the master by 2.3 MB'])
  })

  it('is a table with a verdict', () => {
    const result = { id: 'soak', runs: 20, tenths: [tenth(), tenth({ residentBytes: 108e6 })], grown: [] }
    expect(soakText({ ...result, reached: true })).toMatch(/20 runs .*: reached\]\n +runs +runs\/s .*\n +10 +500 +100\.0 MB +20 +5\.0 MB +9\n/)
    expect(soakText({ ...result, grown: ['memory of our process by 8.0 MB'], reached: false })).toContain('MISSED, memory of our process by 8.0 MB]')
    expect(soakText({ ...result, reached: undefined })).not.toContain('[')
  })
})
