import type { FileHandle } from 'node:fs/promises'
import type { Head } from './head.ts'
import { MAX_LINE_BYTES, NEWLINE, readLine } from './line.ts'

/** How much of the end of a log is looked at at first. */
export const WINDOW_BYTES = 65_536

/** The last record before the offset `end` whose own hash is right. Looks no further back than two of the longest lines. */
export async function lastRecord(log: FileHandle, end: number): Promise<Head | undefined> {
  return (await lastRecordWithin(log, end, WINDOW_BYTES)) ?? lastRecordWithin(log, end, 2 * MAX_LINE_BYTES)
}

async function lastRecordWithin(log: FileHandle, end: number, windowBytes: number): Promise<Head | undefined> {
  const start = Math.max(0, end - windowBytes)
  const bytes = await readRange(log, start, end)
  for (let to = bytes.lastIndexOf(NEWLINE); to > 0; ) {
    const from = bytes.lastIndexOf(NEWLINE, to - 1)
    // The first line of a window may have begun before it.
    if (from === -1 && start > 0) return undefined
    const content = readLine(bytes.subarray(from + 1, to))
    if (content.kind === 'record') return { ...content.position, sizeBytes: start + to + 1 }
    to = from
  }
  return undefined
}

/** The bytes from `start` up to, not including, `end`; fewer where the file is shorter. */
export async function readRange(log: FileHandle, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.alloc(end - start)
  let length = 0
  while (length < bytes.length) {
    const { bytesRead } = await log.read(bytes, length, bytes.length - length, start + length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return bytes.subarray(0, length)
}
