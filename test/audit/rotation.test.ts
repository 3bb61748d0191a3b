import { appendFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openAudit, KEEP_LIMITS } from '../../src/audit/log.ts'
import type { KeepingLimits } from '../../src/audit/append/rotation.ts'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'
import { BEGIN, FINISH, logDirectory, type LogDirectory } from './log-directory.ts'

const DAY_MS = 86_400_000

let place: LogDirectory
let clock: FakeClock

beforeEach(async () => {
  place = await logDirectory()
  clock = new FakeClock()
})
afterEach(() => place.remove())

/** One operation of a process of its own: two records. */
async function operate(limits: Partial<KeepingLimits> = {}): Promise<void> {
  const log = await openAudit({ directory: place.directory, clock, limits: { ...KEEP_LIMITS, ...limits } })
  await log.finish(await log.begin(BEGIN), FINISH)
  await log.close()
}

async function anchor(limits: Partial<KeepingLimits> = {}): Promise<{ readonly seq: number; readonly hash: string }> {
  const log = await openAudit({ directory: place.directory, clock, limits: { ...KEEP_LIMITS, ...limits } })
  const handedOut = await log.anchor()
  await log.close()
  return handedOut
}

const rotated = async (): Promise<string[]> => (await readdir(place.directory)).filter((name) => name.startsWith('audit-')).toSorted()
const recordsOf = async (name: string): Promise<Record<string, unknown>[]> =>
  (await readFile(join(place.directory, name), 'utf8')).split('\n').slice(0, -1).map((line): Record<string, unknown> => JSON.parse(line))

const SMALL = { rotateBytes: 1200 }
const DAILY = { rotateAgeMs: DAY_MS }

/** An operation a day, each in a file of its own: two records in the first, three in the others. */
async function days(count: number, limits: Partial<KeepingLimits> = DAILY): Promise<void> {
  for (let day = 0; day < count; day++) {
    await operate(limits)
    await clock.advance(DAY_MS)
  }
}

describe('a log that is full', () => {
  it('goes on in a new file, whose first record says what is in the one before', async () => {
    await days(3)
    expect(await rotated()).toEqual(['audit-000000000001.jsonl', 'audit-000000000003.jsonl'])
    const before = await recordsOf('audit-000000000003.jsonl')
    expect((await place.records())[0]).toMatchObject({
      event: 'rotated',
      seq: 6,
      log_file: 'audit-000000000003.jsonl',
      first_seq: 3,
      last_seq: 5,
      last_hash: before.at(-1)?.hash,
      from_time: '2026-02-01T12:00:00.000Z',
      to_time: '2026-02-01T12:00:00.000Z',
      prev: before.at(-1)?.hash,
    })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 8, files: 3, signed: { seq: 8 } })
  })

  it('goes on in a new file while it is open, and other logs of the directory follow', async () => {
    const limits = { ...KEEP_LIMITS, ...SMALL }
    const [one, other] = [await openAudit({ directory: place.directory, clock, limits }), await openAudit({ directory: place.directory, clock, limits })]
    for (let run = 0; run < 4; run++) for (const log of [one, other]) await log.finish(await log.begin(BEGIN), FINISH)
    await one.close()
    await other.close()
    expect((await rotated()).length).toBeGreaterThan(2)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, repaired: [] })
  })

  it('begins a file with what is in the one before, also where a signature is due', async () => {
    const log = await openAudit({ directory: place.directory, clock, limits: { ...KEEP_LIMITS, ...DAILY } })
    await Promise.all(Array.from({ length: 999 }, () => log.note('denied', {})))
    await clock.advance(DAY_MS)
    await log.note('denied', {})
    await log.close()
    expect((await place.records()).map(({ seq, event }) => [seq, event])).toEqual([[1000, 'rotated'], [1001, 'denied']])
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 1001, signed: { seq: 1001 } })
  })

  it('goes on in a new file after a day, by the time of its first record', async () => {
    await operate(DAILY)
    await clock.advance(DAY_MS - 1)
    await operate(DAILY)
    expect(await rotated()).toEqual([])
    await clock.advance(1)
    await operate(DAILY)
    expect(await rotated()).toEqual(['audit-000000000001.jsonl'])
    expect((await place.records())[0]).toMatchObject({ from_time: '2026-01-31T12:00:00.000Z', to_time: '2026-02-01T11:59:59.999Z' })
  })

  it('is not broken by a writer that is killed behind giving the file its name', async () => {
    await operate()
    await rename(place.log, join(place.directory, 'audit-000000000001.jsonl'))
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 2 })
    await operate()
    expect((await place.records()).map(({ event }) => event)).toEqual(['rotated', 'begin', 'finish'])
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 5, repaired: [] })
  })

  it('is not broken by a writer that is killed before it wrote the head of the new file', async () => {
    await days(1)
    const head = await readFile(place.head)
    await operate(DAILY)
    await writeFile(place.head, head)
    await operate()
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, repaired: [6] })
  })

  it.each(['audit-000000000001.jsonl', 'audit-000000000003.jsonl'])('is found to miss a whole file, %s', async (name) => {
    await days(3)
    await rm(join(place.directory, name))
    const seq = name.endsWith('1.jsonl') ? 1 : 3
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'missing', seq })
  })

  it('is found when bytes were added to an old file', async () => {
    await days(3)
    await appendFile(join(place.directory, 'audit-000000000003.jsonl'), 'x')
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'not_json', file: 'audit-000000000003.jsonl', line: 4, seq: 6 })
  })

  it('is found when a record of an old file was altered, by file and line', async () => {
    await days(3)
    const path = join(place.directory, 'audit-000000000003.jsonl')
    await writeFile(path, (await readFile(path, 'utf8')).replace('alice', 'mallory'))
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'altered', file: 'audit-000000000003.jsonl', line: 2, seq: 4 })
  })
})

describe('a log that is old', () => {
  const KEPT = { ...DAILY, retentionMs: 10 * DAY_MS }

  it('is kept whole while no anchor covers it', async () => {
    await days(15, KEPT)
    expect(await rotated()).toHaveLength(14)
  })

  it('loses the files that an anchor covers and that are past their time, with a record of each', async () => {
    await days(3, KEPT)
    const { seq } = await anchor(KEPT)
    await days(15, KEPT)
    const [first = ''] = await rotated()
    expect(Number(/\d+/.exec(first)?.[0])).toBeLessThanOrEqual(seq)
    const events = (await Promise.all([...(await rotated()), 'audit.jsonl'].map(recordsOf))).flat()
    expect(events.filter(({ event }) => event === 'removed')).toMatchObject([
      { log_file: 'audit-000000000001.jsonl', first_seq: 1, last_seq: 2 },
      { log_file: 'audit-000000000003.jsonl', first_seq: 3, last_seq: 5 },
      { log_file: 'audit-000000000006.jsonl', first_seq: 6, last_seq: 8 },
    ])
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, firstSeq: 9, count: events.length })
  })

  it('is found when more than what the records say was removed', async () => {
    await days(3, KEPT)
    await anchor(KEPT)
    await days(15, KEPT)
    const [first = ''] = await rotated()
    await rm(join(place.directory, first))
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'missing', seq: 1 })
  })

  it('still compares with an anchor behind what was removed, and says which it cannot', async () => {
    await days(2, KEPT)
    const old = await anchor(KEPT)
    await days(2, KEPT)
    const newer = await anchor(KEPT)
    await days(11, KEPT)
    expect(await verifyAudit(place.directory, { anchors: [old, newer] })).toMatchObject({ ok: true, anchors: { checked: 1, tooOld: 1 } })
  })
})

describe('a log whose clock jumps', () => {
  it('loses nothing to a clock that goes far ahead', async () => {
    const kept = { ...DAILY, retentionMs: 10 * DAY_MS }
    await days(3, kept)
    await anchor(kept)
    await clock.advance(1000 * DAY_MS)
    await operate(kept)
    expect((await rotated()).length).toBeGreaterThan(2)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, firstSeq: 1 })
  })

  it('keeps its chain, and a clock that goes back turns to no new file', async () => {
    await clock.advance(5 * DAY_MS)
    await operate(DAILY)
    clock = new FakeClock()
    await operate(DAILY)
    expect(await rotated()).toEqual([])
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 4 })
  })
})
