import { appendFile, mkdir, readdir, readlink } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listAudit, type AuditFilter } from '../../src/audit/list.ts'
import { openAudit } from '../../src/audit/log.ts'
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

async function listed(filter: AuditFilter): Promise<AuditRecord[]> {
  const records: AuditRecord[] = []
  for await (const record of listAudit(place.directory, filter)) records.push(record)
  return records
}

describe('listAudit', () => {
  const minute = (minutes: number): Date => new Date(Date.UTC(2026, 0, 31, 12, minutes))
  const CASES: [string, AuditFilter, number[]][] = [
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
