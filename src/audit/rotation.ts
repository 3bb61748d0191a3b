import { fstatSync, renameSync } from 'node:fs'
import { rm, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../core/atomic-file.ts'
import { draft } from './draft.ts'
import { openLog, rotatedName, type AuditFiles } from './files.ts'
import { readLines } from './line-reader.ts'
import { lineHeader, parseRecord, type Position } from './line.ts'
import { oldOutputDays, OUTPUTS } from './outputs.ts'
import { lastRecord } from './place.ts'
import type { AuditRecord, Draft } from './record.ts'
import { rotatedSegments, type Segment } from './segments.ts'

/** When the log turns to a new file, and how long old ones stay. */
export interface KeepingLimits {
  /** A file of this size or more is not added to. */
  readonly rotateBytes: number
  /** Nor is one whose first record is this old. */
  readonly rotateAgeMs: number
  /** Files whose last record is older are removed, once an anchor covers them; Infinity: never. */
  readonly retentionMs: number
  /** Recorded output that is older is removed; Infinity: never. */
  readonly outputRetentionMs: number
}

/** What is in one file of the log. */
type Contents = Required<Pick<AuditRecord, 'log_file' | 'first_seq' | 'last_seq' | 'last_hash' | 'from_time' | 'to_time'>>

/** What the first records of a new file say, and what is then to be removed. */
export interface Turn {
  readonly drafts: readonly Draft[]
  readonly obsolete: readonly string[]
}

/** The time of the first record of a file, ms since 1970; undefined where there is none, or none that can be read. */
export async function firstTimeOf(log: FileHandle): Promise<number | undefined> {
  const bytes = Buffer.alloc(512)
  const { bytesRead } = await log.read(bytes, 0, bytes.length, 0)
  const time = Date.parse(lineHeader(bytes.subarray(0, bytesRead))?.time ?? '')
  return Number.isNaN(time) ? undefined : time
}

/**
 * Gives the log its name among the old ones, so that the next record begins a new file. Called under the lock.
 * A crash behind it leaves no `audit.jsonl`, and the next writer begins it. Rejects with the system's error.
 */
export async function moveAside(files: AuditFiles, log: FileHandle): Promise<void> {
  const bytes = Buffer.alloc(512)
  const { bytesRead } = await log.read(bytes, 0, bytes.length, 0)
  const first = lineHeader(bytes.subarray(0, bytesRead))
  if (!first) throw new Error('its first line is not a record of Remex; look at it, then move it away')
  renameSync(files.log, join(files.directory, rotatedName(first.seq)))
  await syncDirectory(files.directory)
}

/** The last record of the newest of the old files; undefined where there is none. */
export async function lastRotated(files: AuditFiles): Promise<Position | undefined> {
  const newest = (await rotatedSegments(files.directory)).at(-1)
  const log = newest && (await openLog(newest.path))
  if (!log) return undefined
  try {
    return await lastRecord(log, fstatSync(log.fd).size)
  } finally {
    await log.close()
  }
}

/**
 * The records with which a new file begins: `rotated`, which says what is in the file before it, and `removed` for each
 * that is too old. The files themselves are to be removed when those records are on disk.
 */
export async function turnToNewFile({ files, limits, nowMs }: { readonly files: AuditFiles; readonly limits: KeepingLimits; readonly nowMs: number }): Promise<Turn> {
  const segments = await rotatedSegments(files.directory)
  const newest = segments.at(-1)
  const rotated = newest && (await contentsOf(newest))
  if (!rotated) return { drafts: [], obsolete: [] }
  const old = await tooOld(segments, { anchoredSeq: rotated.anchored_seq, beforeMs: nowMs - limits.retentionMs })
  const time = new Date(nowMs).toISOString()
  const note = (event: string, fields: Partial<Draft>): Draft => draft(event, time, { pid: process.pid, ...fields })
  const days = await oldOutputDays(files.directory, nowMs - limits.outputRetentionMs)
  const outputs = days.length === 0 ? [] : [note('outputs_removed', { before_day: dayAfter(days.at(-1) ?? '') })]
  return {
    drafts: [note('rotated', rotated), ...old.map((contents) => note('removed', contents)), ...outputs],
    obsolete: [...old.map(({ log_file: name }) => name), ...days.map((day) => join(OUTPUTS, day))].map((name) => join(files.directory, name)),
  }
}

const dayAfter = (day: string): string => new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10)

/** Removes files, and whole days of output, that the log has given up. One that cannot be removed is tried again at the next rotation. */
export async function removeObsolete(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { force: true, recursive: true }).catch(() => undefined)
}

/** The oldest files, none left out between them, that end before `beforeMs` and whose last record an anchor covers. */
async function tooOld(segments: readonly Segment[], { anchoredSeq, beforeMs }: { readonly anchoredSeq: number; readonly beforeMs: number }): Promise<readonly Contents[]> {
  const old: Contents[] = []
  for (const [at, segment] of segments.slice(0, -1).entries()) {
    const contents = contentsNamedBy(await firstRecord(segments[at + 1]), segment)
    if (!contents || contents.last_seq > anchoredSeq || Date.parse(contents.to_time) >= beforeMs) break
    old.push(contents)
  }
  return old
}

/** What the first record of the file after it says of a file: it was signed, and is as good as reading the file. */
function contentsNamedBy(record: AuditRecord | undefined, { name }: Segment): Contents | undefined {
  const { event, log_file, first_seq, last_seq, last_hash, from_time, to_time } = record ?? {}
  if (event !== 'rotated' || log_file !== name) return undefined
  if (first_seq === undefined || last_seq === undefined || last_hash === undefined || from_time === undefined || to_time === undefined) return undefined
  return { log_file, first_seq, last_seq, last_hash, from_time, to_time }
}

async function firstRecord(segment: Segment | undefined): Promise<AuditRecord | undefined> {
  const log = segment && (await openLog(segment.path))
  if (!log) return undefined
  try {
    for await (const lines of readLines(log)) {
      const [first] = lines
      if (first) return parseRecord(first.bytes)
    }
    return undefined
  } finally {
    await log.close()
  }
}

/** Reads a file through. Times may stand in any order, for clocks jump. */
async function contentsOf({ name, path, firstSeq }: Segment): Promise<(Contents & { readonly anchored_seq: number }) | undefined> {
  const log = await openLog(path)
  if (!log || firstSeq === undefined) return undefined
  try {
    const last = await lastRecord(log, (await stat(path)).size)
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
