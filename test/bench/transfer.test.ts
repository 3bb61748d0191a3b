import { existsSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { benchTransfer, transferRows } from '../../bench/transfer.ts'
import type { TransferEntry, Wishes } from '../../bench/transfer/entry.ts'
import type { Workspace } from '../../bench/lib/workspace.ts'
import { takePrinted } from './printed.ts'

const opened: { id: string; wishes: Wishes; space: Workspace }[] = []
const closed: string[] = []

function row(id: string, sample: number): TransferEntry {
  return {
    id,
    open: (space, wishes) => {
      opened.push({ id, wishes, space })
      return Promise.resolve({
        id,
        title: `About ${id}`,
        unit: 'ms',
        rounds: wishes.rounds ?? 2,
        contenders: [{ name: 'scp', run: () => Promise.resolve(100) }, { name: 'remex', run: () => Promise.resolve(sample) }],
        goal: { contender: 'remex', of: 'ratio', atMost: 0.9 },
        [Symbol.asyncDispose]: () => {
          closed.push(id)
          return Promise.resolve()
        },
      })
    },
  }
}

const skipping: TransferEntry = { id: 'fan', open: () => Promise.resolve({ skipped: 'clush is not installed' }) }

describe('bench transfer', () => {
  const printed = takePrinted()
  beforeEach(() => {
    opened.length = closed.length = 0
  })

  it('measures each row in turn in one workspace, which is gone afterwards', async () => {
    expect(await benchTransfer([], [row('one', 90), row('two', 50)])).toBe(0)
    expect(printed.text).toContain('About one  [at most 0.9 ×: reached]')
    expect(opened.map(({ id, wishes }) => [id, wishes.rounds, wishes.quick])).toEqual([['one', undefined, false], ['two', undefined, false]])
    expect(closed).toEqual(['one', 'two'])
    expect(new Set(opened.map(({ space }) => space)).size).toBe(1)
    expect(opened.some(({ space }) => existsSync(space.disk.path) || existsSync(space.memory.path))).toBe(false)
  })

  it('ends with 1 when a goal is missed', async () => {
    expect(await benchTransfer([], [row('one', 91), row('two', 50)])).toBe(1)
  })

  it('says why a row is skipped, and does not count it', async () => {
    expect(await benchTransfer([], [skipping, row('one', 50)])).toBe(0)
    expect(printed.text).toContain('fan: skipped, clush is not installed')
  })

  it('prints nothing but JSON Lines with --json, what is skipped too', async () => {
    await benchTransfer(['--json', '--rounds', '3', '--quick', '--only', 'fan,two'], [row('one', 1), skipping, row('two', 50)])
    const lines = printed.text.trimEnd().split('\n').map((line) => JSON.parse(line))
    expect(lines).toMatchObject([{ id: 'fan', skipped: 'clush is not installed' }, { id: 'two', reached: true, machine: { node: process.version } }])
    expect(opened.map(({ wishes }) => wishes)).toMatchObject([{ rounds: 3, quick: true }])
  })

  it('clears away what a row that fails has left', async () => {
    const broken: TransferEntry = { id: 'broken', open: async (space, wishes) => ({ ...(await openRow(space, wishes)), contenders: [{ name: 'a', run: () => Promise.reject(new Error('broken')) }] }) }
    await expect(benchTransfer([], [broken])).rejects.toThrow('broken')
    expect(closed).toEqual(['inner'])
    expect(opened.some(({ space }) => existsSync(space.disk.path))).toBe(false)
  })

  async function openRow(space: Workspace, wishes: Wishes): Promise<Exclude<Awaited<ReturnType<TransferEntry['open']>>, { skipped: string }>> {
    const inner = await row('inner', 1).open(space, wishes)
    if ('skipped' in inner) throw new Error('it is not skipped')
    return inner
  }

  it.each([
    ['an unknown row', ['--only', 'none'], 'there is no row none; there is one'],
    ['a wrong number of rounds', ['--rounds', '0'], '--rounds 0'],
    ['a wrong number of cuts', ['--cuts', '-1'], '--cuts'],
    ['a wrong seed', ['--seed', 'x'], '--seed x'],
    ['a wrong date', ['--write', 'today'], '--write today'],
    ['an unknown option', ['--fast'], '--fast'],
  ])('refuses %s before it measures anything', async (_what, args, message) => {
    await expect(benchTransfer(args, [row('one', 1)])).rejects.toThrow(message)
    expect(opened).toEqual([])
  })

  it('has a row of its own name for each', () => {
    const ids = transferRows.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
  })
})
