import { remexError } from '../../core/errors.ts'
import { Sieve } from './filter.ts'
import { readLines } from '../line-reader.ts'
import { lineHeader } from '../line.ts'
import type { AuditRecord } from '../record.ts'
import { scanBackward, scanForward, type Page } from './scan.ts'
import { Segments, type Segment } from '../segments.ts'

/** A record, and those of the same operation. */
export interface RecordInContext {
  readonly record: AuditRecord
  /** By number, without the record itself. */
  readonly related: readonly AuditRecord[]
}

/**
 * The record with this number in the log in `directory`; only the file that has it is read, and from there on what it takes
 * to find the other end of the operation. Throws `USAGE` that says which numbers there are, and `AUDIT_UNAVAILABLE`.
 */
export async function findRecord(directory: string, seq: number): Promise<RecordInContext> {
  await using segments = await Segments.of(directory)
  const at = await segmentWith(segments, seq)
  const segment = segments.list[at]
  const record = segment && (await recordIn(segments, segment, seq))
  if (!record) throw remexError('USAGE', `there is no record ${seq} in the audit log: ${await rangeText(segments)}`, { hint: 'See which there are: remex audit list' })
  return { record, related: await relatedTo(segments, at, record) }
}

/** The index of the file with the numbers around `seq`; -1 where all begin behind it. */
async function segmentWith(segments: Segments, seq: number): Promise<number> {
  for (const [back, segment] of segments.list.toReversed().entries()) {
    if ((await firstSeqIn(segments, segment)) <= seq) return segments.list.length - 1 - back
  }
  return -1
}

/** Infinity for a file without records. */
async function firstSeqIn(segments: Segments, segment: Segment): Promise<number> {
  if (segment.firstSeq !== undefined) return segment.firstSeq
  const file = await segments.open(segment)
  if (!file) return Infinity
  for await (const lines of readLines(file)) {
    for (const { bytes } of lines) {
      const header = lineHeader(bytes)
      if (header) return header.seq
    }
  }
  return Infinity
}

async function recordIn(segments: Segments, segment: Segment, seq: number): Promise<AuditRecord | undefined> {
  const sieve = new Sieve({ sinceSeq: seq - 1 })
  for await (const page of scanForward(segments, [segment], (line) => sieve.pick(line))) {
    const found = page.find((record) => record.seq === seq)
    if (found) return found
  }
  return undefined
}

/** Looks back to where the operation began, and ahead to where it ended. */
async function relatedTo(segments: Segments, at: number, { seq, event, op_id: opId }: AuditRecord): Promise<readonly AuditRecord[]> {
  if (opId === undefined) return []
  const sieve = new Sieve({ opId })
  const pick = (line: Buffer): AuditRecord | undefined => sieve.pick(line)
  const before = event === 'begin' ? [] : await upTo('begin', scanBackward(segments, segments.list.slice(0, at + 1), pick), (record) => record.seq < seq)
  const after = event === 'finish' ? [] : await upTo('finish', scanForward(segments, segments.list.slice(at), pick), (record) => record.seq > seq)
  return [...before.toReversed(), ...after]
}

async function upTo(event: string, pages: AsyncIterable<Page>, wants: (record: AuditRecord) => boolean): Promise<readonly AuditRecord[]> {
  const found: AuditRecord[] = []
  for await (const page of pages) {
    found.push(...page.filter(wants))
    if (found.at(-1)?.event === event) break
  }
  return found
}

async function rangeText(segments: Segments): Promise<string> {
  const [oldest] = segments.list
  const sieve = new Sieve({})
  for await (const [last] of scanBackward(segments, segments.list, (line) => sieve.pick(line))) {
    if (oldest && last) return `it has ${await firstSeqIn(segments, oldest)} to ${last.seq}`
  }
  return 'it is empty'
}
