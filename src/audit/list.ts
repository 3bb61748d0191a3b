import type { FileHandle } from 'node:fs/promises'
import { auditFiles, openLog, unreadable } from './files.ts'
import { readLines } from './line-reader.ts'
import { parseRecord } from './line.ts'
import type { AuditRecord } from './record.ts'

/** Which records are wanted; all that is given must hold. */
export interface AuditFilter {
  /** `user_id`. */
  readonly user?: string
  /** `vm_id`. */
  readonly host?: string
  readonly operation?: string
  /** Of finish records, and of notes that have one. */
  readonly status?: 'success' | 'error'
  /** The record's time, this one included. */
  readonly since?: Date
  /** The record's time, this one excluded. */
  readonly until?: Date
  /** Begin records of operations that never finished, or still run. */
  readonly unfinished?: boolean
  /** The newest so many. Default: all. */
  readonly limit?: number
}

/**
 * The records in `directory` that `filter` wants, oldest first. A finish record says what its begin record said, so each
 * can be read alone. Proves nothing: lines that are no records are passed over, and it is `verifyAudit` that finds them.
 * Memory is bounded by `limit`, and with `unfinished` by the operations that are open at one time.
 * Throws `AUDIT_UNAVAILABLE` for a log that cannot be read; a log that is not there is empty.
 */
export async function* listAudit(directory: string, filter: AuditFilter = {}): AsyncGenerator<AuditRecord> {
  const path = auditFiles(directory).log
  const log = await openLog(path)
  if (!log) return
  try {
    const unfinished = filter.unfinished ? await unfinishedOperations(log) : undefined
    const wanted = (record: AuditRecord): boolean => matches(record, filter) && (!unfinished || isOpenBegin(record, unfinished))
    yield* newest(selected(log, wanted), filter.limit ?? Infinity)
  } catch (error) {
    throw unreadable(path, error)
  } finally {
    await log.close()
  }
}

async function unfinishedOperations(log: FileHandle): Promise<ReadonlySet<string>> {
  const open = new Set<string>()
  for await (const { event, op_id: opId } of selected(log, () => true)) {
    if (opId === undefined) continue
    if (event === 'begin') open.add(opId)
    if (event === 'finish') open.delete(opId)
  }
  return open
}

function isOpenBegin({ event, op_id: opId }: AuditRecord, unfinished: ReadonlySet<string>): boolean {
  return event === 'begin' && opId !== undefined && unfinished.has(opId)
}

function matches(record: AuditRecord, { user, host, operation, status, since, until }: AuditFilter): boolean {
  const equal = [
    [user, record.user_id],
    [host, record.vm_id],
    [operation, record.operation],
    [status, record.status],
  ].every(([wanted, found]) => wanted === undefined || wanted === found)
  const time = Date.parse(record.time)
  return equal && (!since || time >= since.getTime()) && (!until || time < until.getTime())
}

async function* selected(log: FileHandle, wanted: (record: AuditRecord) => boolean): AsyncGenerator<AuditRecord> {
  for await (const lines of readLines(log)) {
    for (const { bytes } of lines) {
      const record = parseRecord(bytes)
      if (record && wanted(record)) yield record
    }
  }
}

async function* newest(records: AsyncIterable<AuditRecord>, limit: number): AsyncGenerator<AuditRecord> {
  if (limit === Infinity) {
    yield* records
    return
  }
  const kept: AuditRecord[] = []
  for await (const record of records) {
    kept.push(record)
    if (kept.length > limit) kept.shift()
  }
  yield* kept
}
