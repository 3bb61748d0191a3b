import { appendFile, mkdir, readdir, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { listAudit, type ListFilter } from '../../src/audit/read/list.ts'
import { KEEP_LIMITS, openAudit } from '../../src/audit/log.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'
import { BEGIN, FINISH, logDirectory, type LogDirectory } from './log-directory.ts'

let place: LogDirectory

beforeAll(async () => {
  place = await logDirectory()
  const clock = new FakeClock()
  const log = await openAudit({ directory: place.directory, clock })
  const first = await log.begin(BEGIN)
  await log.finish(first, FINISH)
  await clock.advance(60_000)
  await log.begin({ ...BEGIN, user_id: 'bob', vm_id: 'vm02' })
  await clock.advance(60_000)
  await log.note('denied', { ...BEGIN, user_id: 'bob', status: 'error', error_code: 'POLICY_DENIED', reason: 'no rule allows it' })
  const last = await log.begin({ ...BEGIN, operation: 'upload', command: undefined, local: 'a', remote: '/b' })
  await log.finish(last, { ...FINISH, status: 'error', error_code: 'NO_SPACE', size_bytes: 3, sha256: 'ab' })
  await log.close()
  await appendFile(place.log, 'this is no record\n{"seq":7,"to')
})
afterAll(() => place.remove())

async function listed(filter: ListFilter): Promise<AuditRecord[]> {
  const records: AuditRecord[] = []
  for await (const record of listAudit(place.directory, filter)) records.push(record)
  return records
}

describe('listAudit', () => {
  const minute = (minutes: number): Date => new Date(Date.UTC(2026, 0, 31, 12, minutes))
  const CASES: [string, ListFilter, number[]][] = [
    ['all records, oldest first, without what is no record', {}, [1, 2, 3, 4, 5, 6]],
    ['those of a user', { user: 'bob' }, [3, 4]],
    ['those of a host', { host: 'vm02' }, [3]],
    ['those of an operation, its finish too', { operation: 'upload' }, [5, 6]],
    ['those that ended well', { status: 'success' }, [2]],
    ['those that failed or were denied', { status: 'error' }, [4, 6]],
    ['those from a time on, that time included', { since: minute(1) }, [3, 4, 5, 6]],
    ['those before a time, that time excluded', { until: minute(1) }, [1, 2]],
    ['those of one minute', { since: minute(1), until: minute(2) }, [3]],
    ['what began and never finished', { unfinished: true }, [3]],
    ['what began and never finished, of a user', { unfinished: true, user: 'alice' }, []],
    ['the newest two', { limit: 2 }, [5, 6]],
    ['the newest of a user', { limit: 1, user: 'bob' }, [4]],
    ['none, when none is wanted', { limit: 0 }, []],
    ['more than there are', { limit: 100, user: 'bob' }, [3, 4]],
    ['those of a run', { runId: 'run-1' }, [1, 2, 3, 4, 5, 6]],
    ['those of one kind', { event: 'denied' }, [4]],
    ['those behind a number', { sinceSeq: 4 }, [5, 6]],
    ['those with a text in the command, in capitals or not', { text: 'ECHO H' }, [1, 2, 3, 4]],
    ['those with a text in a path', { text: '/b' }, [5, 6]],
    ['those with a text in the reason', { text: 'no rule' }, [4]],
    ['those with a text in the error code', { text: 'no_space' }, [6]],
    ['those with a text in the host', { text: 'vm02' }, [3]],
    ['none for a text that stands only in other fields', { text: 'thadmin' }, []],
    ['none for a text that would be a pattern', { text: 'echo.*' }, []],
    ['what fits all that is asked for', { user: 'bob', event: 'denied', text: 'echo', since: new Date(0), limit: 5 }, [4]],
    ['none for a user who did nothing', { user: 'nobody' }, []],
  ]
  it.each(CASES)('gives %s', async (_, filter, seqs) => {
    expect((await listed(filter)).map((record) => record.seq)).toEqual(seqs)
  })

  it('gives finish records that can be read alone', async () => {
    const [, finish] = await listed({ operation: 'upload' })
    expect(finish).toMatchObject({ event: 'finish', user_id: 'alice', local: 'a', remote: '/b', size_bytes: 3, error_code: 'NO_SPACE' })
    expect(finish).not.toHaveProperty('command')
  })

  it('gives nothing for a log that is not there', async () => {
    const none = await logDirectory()
    for await (const record of listAudit(none.directory)) expect(record).toBeUndefined()
    await none.remove()
  })

  it('is an error where the log cannot be read', async () => {
    const spoilt = await logDirectory()
    await mkdir(spoilt.log, { recursive: true })
    await expect(listAudit(spoilt.directory).next()).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
    await spoilt.remove()
  })

  it('closes the file when its reader stops early', async () => {
    for await (const record of listAudit(place.directory)) {
      expect(record.seq).toBe(1)
      break
    }
    const open = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
    expect(open).not.toContain(place.log)
  })
})

describe('a log of several files', () => {
  const DAY_MS = 86_400_000
  const day = (days: number): Date => new Date(Date.UTC(2026, 0, 31, 12) + days * DAY_MS)
  let days: LogDirectory
  /** The files of the log, oldest first. */
  let files: string[]

  beforeEach(async () => {
    days = await logDirectory()
    const clock = new FakeClock()
    const log = await openAudit({ directory: days.directory, clock, limits: { ...KEEP_LIMITS, rotateBytes: Infinity, rotateAgeMs: DAY_MS } })
    for (const user of ['ann', 'ben', 'cid']) {
      const entry = await log.begin({ ...BEGIN, user_id: user })
      if (user !== 'ben') await log.finish(entry, FINISH)
      await clock.advance(DAY_MS)
    }
    await log.close()
    files = (await readdir(days.directory)).filter((name) => name.endsWith('.jsonl')).toSorted().map((name) => join(days.directory, name))
  })
  afterEach(() => days.remove())

  async function seqs(filter: ListFilter): Promise<number[]> {
    const found: number[] = []
    for await (const { seq } of listAudit(days.directory, filter)) found.push(seq)
    return found
  }

  /** Puts a directory in the place of the file, so that reading it would fail. */
  async function spoil(file: string | undefined): Promise<void> {
    await rm(file ?? '')
    await mkdir(file ?? '')
  }

  it('is listed from the oldest record to the newest', async () => {
    expect(files).toHaveLength(3)
    expect(await seqs({})).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(await seqs({ user: 'cid' })).toEqual([6, 7])
  })

  it('has what is unfinished in a file although its end was looked for in later ones', async () => {
    expect(await seqs({ unfinished: true })).toEqual([4])
    expect(await seqs({ unfinished: true, until: day(1) })).toEqual([])
    expect(await seqs({ unfinished: true, since: day(1) })).toEqual([4])
  })

  it('is not read where the times are not wanted', async () => {
    await spoil(files[0])
    expect(await seqs({ since: day(1) })).toEqual([3, 4, 5, 6, 7])
    expect(await seqs({ since: day(1), until: day(2) })).toEqual([3, 4])
    expect(await seqs({ sinceSeq: 2 })).toEqual([3, 4, 5, 6, 7])
    await expect(seqs({ until: day(1) })).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
  })

  it('is read from its end where only the newest are wanted', async () => {
    await spoil(files[0])
    expect(await seqs({ limit: 4 })).toEqual([4, 5, 6, 7])
    await expect(seqs({ limit: 6 })).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
  })

  it('is listed without the file that is removed meanwhile', async () => {
    const found: number[] = []
    for await (const { seq } of listAudit(days.directory)) {
      if (found.push(seq) === 1) await rm(files[1] ?? '')
    }
    expect(found).toEqual([1, 2, 5, 6, 7])
  })

  it('is read where no other file says what is in it', async () => {
    await days.write((await days.lines()).slice(1))
    expect(await seqs({ since: day(2) })).toEqual([6, 7])
    expect(await seqs({ since: day(1), until: day(2) })).toEqual([3, 4])
  })
})

describe('lines that nobody of ours wrote', () => {
  it('are listed where they are records, with fields that are not known, and else passed over', async () => {
    const strange = await logDirectory()
    await strange.fill(1)
    const [first = ''] = await strange.lines()
    const record: Record<string, unknown> = JSON.parse(first)
    const spaced = JSON.stringify({ later: { new: 'field' }, ...record, user_id: 'zoë', seq: 9 }, null, 1).replaceAll('\n', ' ')
    await strange.write(['', '[]', '{}', '{"seq":1}', 'x'.repeat(2_000_000), JSON.stringify({ ...record, pid: 'text' }), first, spaced])
    const all: AuditRecord[] = []
    for await (const found of listAudit(strange.directory)) all.push(found)
    expect(all.map(({ seq }) => seq)).toEqual([1, 9])
    for (const filter of [{ user: 'zoë' }, { user: 'zoë', limit: 3 }, { sinceSeq: 1 }, { text: 'hello', sinceSeq: 1 }]) {
      const found: AuditRecord[] = []
      for await (const one of listAudit(strange.directory, filter)) found.push(one)
      expect(found).toEqual([{ ...record, later: { new: 'field' }, user_id: 'zoë', seq: 9 }])
    }
    await strange.remove()
  })
})
