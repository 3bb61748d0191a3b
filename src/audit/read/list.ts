import { Sieve, type AuditFilter } from './filter.ts'
import { parseRecord } from '../line.ts'
import type { AuditRecord } from '../record.ts'
import { scanBackward, scanForward, spotOfNewest, wantedSegments, type Page, type Picker } from './scan.ts'
import { Segments, type Segment } from '../segments.ts'

/** Which records are to be listed. */
export interface ListFilter extends AuditFilter {
  /** Begin records of operations that never finished, or still run. */
  readonly unfinished?: boolean
  /** The newest so many. Default: all. */
  readonly limit?: number
}

/**
 * The records in `directory` that `filter` wants, oldest first. A finish record says what its begin record said, so each
 * can be read alone. Proves nothing: lines that are no records are passed over, and it is `verifyAudit` that finds them.
 * Files whose times are not wanted are not read, and with `limit` none that are older than the newest so many. Memory is bounded,
 * with `unfinished` by the operations that are open at one time and those that never ended.
 * Throws `AUDIT_UNAVAILABLE` for a log that cannot be read; a log that is not there is empty.
 */
export async function* listAudit(directory: string, filter: ListFilter = {}): AsyncGenerator<AuditRecord> {
  for await (const page of listAuditPages(directory, filter)) yield* page
}

/** The same, many records at a time, for who handles very many. */
export async function* listAuditPages(directory: string, { unfinished = false, limit = Infinity, ...filter }: ListFilter = {}): AsyncGenerator<Page> {
  const sieve = new Sieve(filter)
  const pick: Picker = (line) => sieve.pick(line)
  await using segments = await Segments.of(directory)
  const wanted = await wantedSegments(segments, sieve)
  if (unfinished) yield await newest(scanBackward(segments, fromFirst(segments.list, wanted), unfinishedOnly(sieve)), limit)
  else if (limit === Infinity) yield* scanForward(segments, wanted, pick)
  else if (limit > 0) {
    const { at, offset } = await spotOfNewest(segments, wanted, pick, limit)
    // More may have been written meanwhile.
    yield* atMost(limit, scanForward(segments, wanted.slice(at), pick, offset))
  }
}

/** All from the first that is wanted on: where the times are not wanted any more, ends may be that are. */
function fromFirst(list: readonly Segment[], [first]: readonly Segment[]): readonly Segment[] {
  return first ? list.slice(list.indexOf(first)) : []
}

/** Picks, newest line first, what began and has no end. */
function unfinishedOnly(sieve: Sieve): Picker {
  const finished = new Set<string>()
  return (line) => {
    const record = parseRecord(line)
    if (record?.op_id === undefined) return undefined
    if (record.event === 'finish') finished.add(record.op_id)
    const isOpen = record.event === 'begin' && !finished.delete(record.op_id)
    return isOpen && sieve.wants(record) ? record : undefined
  }
}

/** The first so many of pages that come newest first, oldest first. */
async function newest(pages: AsyncIterable<Page>, limit: number): Promise<Page> {
  const kept: AuditRecord[] = []
  for await (const page of atMost(limit, pages)) kept.push(...page)
  return kept.toReversed()
}

/** The first so many. */
async function* atMost(limit: number, pages: AsyncIterable<Page>): AsyncGenerator<Page> {
  let left = limit
  for await (const page of pages) {
    yield page.slice(0, left)
    left -= page.length
    if (left <= 0) return
  }
}
