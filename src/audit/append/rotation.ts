import { fstatSync, renameSync } from 'node:fs'
import { rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../../core/atomic-file.ts'
import { contentsSaidBy, readContents, type Contents } from '../contents.ts'
import { draft } from '../draft.ts'
import { openLog, rotatedName, type AuditFiles } from '../files.ts'
import { lineHeader, type Position } from '../line.ts'
import { abandonedOutputs, oldOutputDays, OUTPUTS } from '../outputs.ts'
import { lastRecord } from '../last-record.ts'
import type { Draft } from '../record.ts'
import { rotatedSegments, type Segment } from '../segments.ts'

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
  const rotated = newest && (await readContents(newest))
  if (!rotated) return { drafts: [], obsolete: [] }
  const note = (event: string, fields: Partial<Draft>): Draft => draft(event, new Date(nowMs).toISOString(), { pid: process.pid, ...fields })
  // A clock that jumped would make everything old.
  if (nowMs - Date.parse(rotated.to_time) > MOST_SILENT_MS) return { drafts: [note('rotated', rotated)], obsolete: [] }
  const old = await tooOld(segments, { anchoredSeq: rotated.anchored_seq, beforeMs: nowMs - limits.retentionMs })
  const beforeMs = nowMs - limits.outputRetentionMs
  const [days, abandoned] = [await oldOutputDays(files.directory, beforeMs), await abandonedOutputs(files.directory, beforeMs)]
  const outputs = days.length === 0 ? [] : [note('outputs_removed', { before_day: dayAfter(days.at(-1) ?? '') })]
  return {
    drafts: [note('rotated', rotated), ...old.map((contents) => note('removed', contents)), ...outputs],
    obsolete: [...old.map(({ log_file: name }) => name), ...[...days, ...abandoned].map((name) => join(OUTPUTS, name))].map((name) => join(files.directory, name)),
  }
}

/** Who writes to the log less often than that keeps everything; who does not, and finds this much time gone, has another clock. */
const MOST_SILENT_MS = 30 * 86_400_000

const dayAfter = (day: string): string => new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10)

/** Removes files, and whole days of output, that the log has given up. One that cannot be removed is tried again at the next rotation. */
export async function removeObsolete(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { force: true, recursive: true }).catch(() => undefined)
}

/** The oldest files, none left out between them, that end before `beforeMs` and whose last record an anchor covers. */
async function tooOld(segments: readonly Segment[], { anchoredSeq, beforeMs }: { readonly anchoredSeq: number; readonly beforeMs: number }): Promise<readonly Contents[]> {
  const old: Contents[] = []
  for (const [at, segment] of segments.slice(0, -1).entries()) {
    const contents = await contentsOf(segment, segments[at + 1])
    if (!contents || contents.last_seq > anchoredSeq || Date.parse(contents.to_time) >= beforeMs) break
    old.push(contents)
  }
  return old
}

async function contentsOf(segment: Segment, next: Segment | undefined): Promise<Contents | undefined> {
  const log = next && (await openLog(next.path))
  try {
    return log && (await contentsSaidBy(log, segment))
  } finally {
    await log?.close()
  }
}
