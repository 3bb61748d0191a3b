import { existsSync } from 'node:fs'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { proveKills } from '../../bench/audit-kill.ts'
import { proveTamper } from '../../bench/audit-tamper.ts'
import { auditRows, benchAudit } from '../../bench/audit.ts'
import type { AuditRow, AuditStage } from '../../bench/audit/entry.ts'
import { judgedUnlessQuick, lasting, roundsOf } from '../../bench/fleet/entry.ts'
import type { RowResult } from '../../bench/harness.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { buildCommandLine } from '../cli/workshop.ts'
import { takePrinted } from './printed.ts'

const opened: AuditStage[] = []

function row(id: string, sample: number): AuditRow {
  return {
    id,
    async open(stage) {
      opened.push(stage)
      return lasting({
        id,
        title: `About ${id}`,
        unit: 'records/s',
        ...roundsOf(stage, { rounds: 2, warmUps: 1 }),
        ...judgedUnlessQuick(stage, { contender: 'on disk', of: 'value', atLeast: 100 }),
        contenders: [{ name: 'on disk', run: () => Promise.resolve(sample) }],
      })
    },
  }
}

const failing: AuditRow = { id: 'failing', open: () => Promise.reject(new Error('3 of 4 hosts answered')) }
const skipping: AuditRow = { id: 'skipping', open: () => Promise.resolve({ skipped: 'sshd is not installed' }) }

describe('bench audit', () => {
  const printed = takePrinted()
  const lines = (): readonly RowResult[] => printed.lines() as RowResult[]
  beforeEach(() => {
    opened.length = 0
  })

  it('ends with 0 when every goal is reached, with 1 when one is missed, and leaves no files', async () => {
    expect(await benchAudit([], [row('one', 100), row('two', 101)])).toBe(0)
    expect(await benchAudit([], [row('one', 99), row('two', 101)])).toBe(1)
    expect(printed.text).toContain('About one  [at least 100: reached]')
    expect(printed.text).toContain('About one  [at least 100: MISSED]')
    expect(opened.some(({ space }) => existsSync(space.disk.path))).toBe(false)
  })

  it('goes on after a row that fails or is skipped, and only a failure counts', async () => {
    expect(await benchAudit(['--json'], [failing, skipping, row('one', 100)])).toBe(1)
    expect(lines()).toMatchObject([{ id: 'failing', failed: '3 of 4 hosts answered' }, { id: 'skipping', skipped: 'sshd is not installed' }, { id: 'one', reached: true }])
    expect(await benchAudit([], [skipping])).toBe(0)
  })

  it.each([
    ['an unknown row', ['--only', 'none'], 'there is no row none; there is one'],
    ['a wrong number of rounds', ['--rounds', '0'], '--rounds 0'],
    ['a wrong number of kills', ['--kills', 'all'], '--kills all'],
    ['a seed of nothing', ['--seed', '1'], '--seed is for --tamper and --kills'],
    ['a wrong date', ['--write', 'today'], '--write today'],
    ['to write down a quick look', ['--write', '2026-01-31', '--quick'], '--quick is no measurement'],
    ['an unknown option', ['--fast'], '--fast'],
  ])('refuses %s before it measures anything', async (_what, args, message) => {
    await expect(benchAudit(args, [row('one', 100)])).rejects.toThrow(message)
    expect(opened).toEqual([])
  })

  describe('on this machine', () => {
    // The command line reads the logs.
    beforeAll(buildCommandLine, 60_000)

    it('measures every row once and judges nothing with --quick', async () => {
      const status = await benchAudit(['--quick', '--json'])
      const results = lines()
      expect(results.flatMap((result): readonly unknown[] => ('failed' in result ? [result] : []))).toEqual([])
      expect(status).toBe(0)
      expect(results.map(({ id }) => id)).toEqual(auditRows.map(({ id }) => id))
      for (const { id, contenders = [] } of results) for (const { median } of contenders) expect(median, id).toBeGreaterThan(0)
      expect('skipped' in (results[0] ?? {})).toBe(process.platform !== 'linux' || findProgram('sshd') === undefined)
    }, 60_000)
  })
})

describe('a log that is tampered with', () => {
  it('is found to be, and the first wrong record is named, in every way there is', async () => {
    const proof = await proveTamper({ records: 12, seed: 7 })
    expect(proof.wrong).toEqual([])
    expect(proof.files).toBeGreaterThan(1)
    for (const { name, tried, found, named } of proof.kinds) {
      expect([found, named], name).toEqual([tried, tried])
      expect(tried, name).toBeGreaterThan(1)
    }
  }, 60_000)

  it('is left alone when we are to end', async () => {
    const interrupted = Promise.reject(new Error('ended by SIGINT'))
    interrupted.catch(() => undefined)
    await expect(proveTamper({ records: 12, seed: 7, interrupted })).rejects.toThrow('ended by SIGINT')
  })
})

describe('writers that are killed', () => {
  it('leave a log that verifies and holds all that was acknowledged', async () => {
    const done: number[] = []
    const proof = await proveKills({ kills: 3, seed: 5 }, (count) => done.push(count))
    expect(proof).toMatchObject({ kills: { one: 2, all: 1 }, wrong: [] })
    expect(proof.records).toBeGreaterThanOrEqual(proof.acknowledged.begun)
    expect(done).toEqual([1, 2, 3])
  }, 60_000)
})
