import { describe, expect, it } from 'vitest'
import { bench, type Entry } from '../../bench/bench.ts'
import { withSection } from '../../bench/lib/section.ts'
import { markdownTable } from '../../bench/lib/tables.ts'
import { takePrinted } from './printed.ts'

const open: string[] = []

function entry(id: string, sample: number): Entry {
  return {
    id,
    open: () => {
      open.push(id)
      return Promise.resolve({
        id,
        title: `About ${id}`,
        unit: 'ms',
        contenders: [{ name: 'ssh', run: () => Promise.resolve(100) }, { name: 'remex', run: () => Promise.resolve(sample) }],
        goal: { contender: 'remex', of: 'ratio', atMost: 1.1 },
        [Symbol.asyncDispose]: () => {
          open.splice(open.indexOf(id), 1)
          return Promise.resolve()
        },
      })
    },
  }
}

describe('bench', () => {
  const printed = takePrinted()

  it('prints each row and ends with 0 when every goal is reached', async () => {
    expect(await bench([entry('one', 110), entry('two', 50)], ['--rounds', '3'])).toBe(0)
    expect(printed.text).toContain('About one  [at most 1.1 ×: reached]')
    expect(printed.text).toMatch(/remex +50.0 ms +0.50× {3}\(50.0 – 50.0, 3 rounds\)/)
    expect(open).toEqual([])
  })

  it('ends with 1 when a goal is missed', async () => {
    expect(await bench([entry('one', 111), entry('two', 50)], ['--rounds', '1'])).toBe(1)
    expect(printed.text).toContain('About one  [at most 1.1 ×: MISSED]')
  })

  it('prints nothing but JSON Lines with --json, each with the machine', async () => {
    await bench([entry('one', 110), entry('two', 50)], ['--json', '--rounds', '1', '--only', 'two'])
    expect(printed.lines()).toMatchObject([{ id: 'two', reached: true, machine: { node: process.version } }])
  })

  it.each([
    ['an unknown row', ['--only', 'none'], 'there is no row none; there is one'],
    ['a wrong number of rounds', ['--rounds', '0'], '--rounds 0'],
    ['a wrong date', ['--write', 'today'], '--write today'],
    ['an unknown option', ['--fast'], '--fast'],
  ])('refuses %s before it measures anything', async (_what, args, message) => {
    await expect(bench([entry('one', 1)], args)).rejects.toThrow(message)
    expect(open).toEqual([])
  })
})

describe('the section in the page', () => {
  it('replaces what is between the markers, and nothing else', () => {
    const page = 'before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n'
    expect(withSection(page, '\nnew\n')).toBe('before\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nafter\n')
    expect(withSection(withSection(page, 'a'), 'b')).toBe(withSection(page, 'b'))
  })

  it.each([['no marker', 'text'], ['an end before its begin', '<!-- bench:end --><!-- bench:begin -->'], ['no end', '<!-- bench:begin -->']])('needs both markers: %s', (_what, page) => {
    expect(() => withSection(page, 'new')).toThrow('bench:begin')
  })

  it('has a name, so that a page can have several', () => {
    const page = '<!-- bench:begin -->\nold\n<!-- bench:end -->\n<!-- other:begin -->\n<!-- other:end -->\n'
    expect(withSection(page, 'new', 'other')).toBe('<!-- bench:begin -->\nold\n<!-- bench:end -->\n<!-- other:begin -->\nnew\n<!-- other:end -->\n')
  })

  it('is a table that judges each of several contenders by itself', () => {
    const contenders = [{ name: 'put', samples: [100], median: 100, ratio: 1 }, { name: 'get', samples: [160], median: 160, ratio: 1.6 }]
    const table = markdownTable([{ id: 'a', title: 'A', unit: 'MB', goal: { contender: ['put', 'get'], of: 'value', atMost: 150 }, contenders, reached: false }])
    expect(table.split('\n').slice(2)).toEqual(['| A | put | 100 MB | 1.00 | at most 150: reached |', '|  | get | 160 MB | 1.60 | at most 150: **missed** |'])
  })

  it('is a table with the verdict beside the contender that is judged', () => {
    const contenders = [{ name: 'ssh', samples: [100], median: 100, ratio: 1 }, { name: 'remex', samples: [110], median: 110, ratio: 1.1 }]
    const table = markdownTable([{ id: 'a', title: 'A', unit: 'ms', goal: { contender: 'remex', of: 'ratio', atMost: 1.1 }, contenders, reached: true }])
    expect(table.split('\n').slice(2)).toEqual(['| A | ssh | 100 ms | 1.00 |  |', '|  | remex | 110 ms | 1.10 | at most 1.1 ×: reached |'])
  })
})
