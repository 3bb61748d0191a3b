import type { FileHandle } from 'node:fs/promises'
import { openLog } from './files.ts'
import { readLines } from './line-reader.ts'
import { lineHeader, parseRecord } from './line.ts'
import { lastRecord } from './last-record.ts'
import type { AuditRecord } from './record.ts'
import type { Segment } from './segments.ts'

/** What is in one file of the log. */
export type Contents = Required<Pick<AuditRecord, 'log_file' | 'first_seq' | 'last_seq' | 'last_hash' | 'from_time' | 'to_time'>>

/**
 * What the file that comes after it says of a file, in its first record: that was signed, and spares reading the file itself.
 * Undefined where it says nothing.
 */
export async function contentsSaidBy(next: FileHandle, { name }: Segment): Promise<Contents | undefined> {
  const { event, log_file, first_seq, last_seq, last_hash, from_time, to_time } = (await firstRecord(next)) ?? {}
  if (event !== 'rotated' || log_file !== name) return undefined
  if (first_seq === undefined || last_seq === undefined || last_hash === undefined || from_time === undefined || to_time === undefined) return undefined
  return { log_file, first_seq, last_seq, last_hash, from_time, to_time }
}

async function firstRecord(log: FileHandle): Promise<AuditRecord | undefined> {
  for await (const lines of readLines(log)) {
    const [first] = lines
    if (first) return parseRecord(first.bytes)
  }
  return undefined
}

/** Reads a file through; undefined where it is gone or holds no record. Times may stand in any order, for clocks jump. */
export async function readContents({ name, path, firstSeq }: Segment): Promise<(Contents & { readonly anchored_seq: number }) | undefined> {
  const log = await openLog(path)
  if (!log || firstSeq === undefined) return undefined
  try {
    const last = await lastRecord(log, (await log.stat()).size)
    let [from, to, anchored] = ['', '', 0]
    for await (const lines of readLines(log)) {
      for (const { bytes } of lines) {
        const header = lineHeader(bytes)
        if (!header) continue
        if (from === '' || header.time < from) from = header.time
        if (header.time > to) to = header.time
        if (header.event === 'anchored') anchored = header.seq
        if (header.event === 'rotated') anchored = Math.max(anchored, parseRecord(bytes)?.anchored_seq ?? 0)
      }
    }
    return last && { log_file: name, first_seq: firstSeq, last_seq: last.seq, last_hash: last.hash, from_time: from, to_time: to, anchored_seq: anchored }
  } finally {
    await log.close()
  }
}
