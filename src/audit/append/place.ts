import { fstatSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { Head } from '../head.ts'
import { readLines } from '../line-reader.ts'
import { lastRecord, readRange, WINDOW_BYTES } from '../last-record.ts'
import { NEWLINE, readLine, START, type Position } from '../line.ts'

/** Where the next record goes. */
export interface Place {
  /** The record it follows. */
  readonly last: Position
  /** The size of the log without what is to be moved away. */
  readonly sizeBytes: number
  /** Bytes behind that which belong to no whole record. */
  readonly tornBytes: number
  /** What was found wrong, in words; empty where nothing was. */
  readonly faults: readonly string[]
}

/** A place in the chain and where in the file its record ends. */
type End = Head

/** What is known of a log besides its file. */
export interface Knowledge {
  readonly head: Head | undefined
  /** Why there is no head. */
  readonly headFault: string
  /** The last record of the file before this one; undefined where there is none. */
  readonly lastBefore: () => Promise<Position | undefined>
}

/**
 * Where a chain goes on. Cheap where the head fits the log's size, which is so unless a writer died or someone else
 * changed the files. Otherwise what a writer left behind the head is taken while it continues the chain; what does not
 * is torn. A log that is behind its head is continued from the head, so that the gap stays visible for good.
 * Undefined where the file holds no record at all, so that nobody's data is touched.
 */
export async function findPlace(log: FileHandle, knowledge: Knowledge): Promise<Place | undefined> {
  const { head } = knowledge
  // Through the thread pool this would take longer than all the rest.
  const { size } = fstatSync(log.fd)
  if (head?.sizeBytes === size) return placeOf(head, size)
  if (head && head.sizeBytes < size && (await fits(log, head))) return afterHead(await followed(log, head), head, size)
  return unfitted(log, knowledge, size)
}

function placeOf(end: End, size: number, faults: readonly string[] = []): Place {
  const { seq, hash, sizeBytes } = end
  return { last: { seq, hash }, sizeBytes, tornBytes: size - sizeBytes, faults }
}

/** What nobody signed is kept, and the next record says which it was: who can write to the file can add to it. */
function afterHead(end: End, head: Head, size: number): Place {
  const [first, last] = [head.seq + 1, end.seq]
  if (last < first) return placeOf(end, size)
  const which = first === last ? `record ${first} was` : `records ${first} to ${last} were`
  return placeOf(end, size, [`${which} added after the last signed head: a writer was interrupted, or somebody else added them`])
}

/** Whether the record that ends where the head says is the head's. */
async function fits(log: FileHandle, head: Head): Promise<boolean> {
  // Nothing of this file was known yet: the first record in it tells.
  if (head.sizeBytes === 0) return true
  const end = await lastRecord(log, head.sizeBytes)
  return end?.sizeBytes === head.sizeBytes && end.hash === head.hash
}

/** The last record behind the head that continues its chain. */
async function followed(log: FileHandle, head: Head): Promise<End> {
  let end: End = head
  for await (const lines of readLines(log, head.sizeBytes)) {
    for (const { bytes, endOffset } of lines) {
      const content = readLine(bytes)
      if (content.kind !== 'record' || content.prev !== end.hash || content.position.seq !== end.seq + 1) return end
      end = { ...content.position, sizeBytes: endOffset }
    }
  }
  return end
}

/** The log and its head do not belong together, or there is no head: only bytes behind the last newline are torn. */
async function unfitted(log: FileHandle, knowledge: Knowledge, size: number): Promise<Place | undefined> {
  const { head } = knowledge
  const sizeBytes = await endOfLastLine(log, size)
  const found = await lastRecord(log, sizeBytes)
  if (!found && !head && sizeBytes > 0) return undefined
  const tail = found ?? { ...((sizeBytes === 0 ? await knowledge.lastBefore() : undefined) ?? START), sizeBytes: 0 }
  const last = head && head.seq >= tail.seq ? head : tail
  return placeOf({ seq: last.seq, hash: last.hash, sizeBytes }, size, faultsOf(tail, knowledge))
}

function faultsOf(tail: End, { head, headFault }: Knowledge): readonly string[] {
  if (!head) return tail.seq > 0 ? [headFault] : []
  // A writer that was interrupted when it turned to a new file.
  if (tail.sizeBytes === 0 && tail.hash === head.hash) return []
  if (tail.seq < head.seq) return [`records were removed from the end: the last is ${tail.seq}, and ${head.seq} had been written`]
  return [`the log was changed: record ${head.seq} does not end where head.json says`]
}

/** The offset behind the last newline before `size`. */
async function endOfLastLine(log: FileHandle, size: number): Promise<number> {
  for (let end = size; end > 0; end -= Math.min(end, WINDOW_BYTES)) {
    const start = Math.max(0, end - WINDOW_BYTES)
    const at = (await readRange(log, start, end)).lastIndexOf(NEWLINE)
    if (at !== -1) return start + at + 1
  }
  return 0
}
