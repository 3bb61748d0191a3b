import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { auditFiles, firstSeqOf } from '../../src/audit/files.ts'
import { KEEP_LIMITS, openAudit, type AuditLog } from '../../src/audit/log.ts'
import type { AuditProblem, AuditVerdict } from '../../src/audit/verify/verdict.ts'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { systemClock } from '../../src/core/clock.ts'
import { begun, ENDED } from './operation.ts'

/** What is in the files of a log, the oldest first; one without lines is not there. */
export interface LogText {
  readonly files: readonly LogFile[]
  /** Undefined: there is none. */
  readonly head: string | undefined
  /** Bytes behind the last line of `audit.jsonl`. */
  readonly torn?: string
}

/** A file of a log. */
export interface LogFile {
  readonly name: string
  /** Without their newlines. */
  readonly lines: readonly string[]
}

/** Where a record stands. */
export interface Spot {
  /** Which of the files. */
  readonly file: number
  /** 0 for the first. */
  readonly line: number
}

/** What a verdict on a log that was tampered with must name. */
export interface Naming {
  readonly file: string
  /** 1 for the first. */
  readonly line: number
  readonly seq: number
  readonly problems: readonly AuditProblem[]
}

/** A way in which the log is tampered with. */
export interface Tampering {
  readonly what: string
  readonly log: LogText
  readonly named: Naming
}

/** A log that is as it was written, and a place where it is verified in other forms. */
export interface TamperScene {
  readonly log: LogText
  /** Of each record, in the order of the chain. */
  readonly spots: readonly Spot[]
  verdictOf(log: LogText): Promise<AuditVerdict>
}

/** What the log is made of. */
export interface TamperedShape {
  readonly records: number
  /** About so many. */
  readonly files: number
}

const RECORD_BYTES = 640
const ANCHOR_EVERY = 100

/** Makes the log in `directory`: ends and beginnings, refusals, anchors, what rotation and signing add. */
export async function makeTamperScene(directory: string, { records, files }: TamperedShape): Promise<TamperScene> {
  const log = await openAudit({ directory, clock: systemClock, limits: { ...KEEP_LIMITS, rotateBytes: Math.ceil((records * RECORD_BYTES) / files) } })
  for (let seq = 0; seq < records; ) seq = await recordedNext(log, seq)
  await log.close()
  const text = await readLog(directory)
  return { log: text, spots: text.files.flatMap(({ lines }, file) => lines.map((_, line) => ({ file, line }))), verdictOf: verifierIn(directory, text) }
}

/** Records what comes next and resolves with about how many records there are. */
async function recordedNext(log: AuditLog, seq: number): Promise<number> {
  if (seq % ANCHOR_EVERY > ANCHOR_EVERY - 3) return (await log.anchor()).seq
  if (seq % 10 === 5) await log.note('denied', { ...begun(seq), status: 'error', error_code: 'POLICY_DENIED', reason: 'no rule allows it' })
  const entry = await log.begin(begun(seq))
  await log.finish(entry, ENDED)
  return entry.seq + 1
}

async function readLog(directory: string): Promise<LogText> {
  const names = (await readdir(directory)).filter((name) => firstSeqOf(name) !== undefined).toSorted()
  const { log, head } = auditFiles(directory)
  const read = async (name: string): Promise<LogFile> => ({ name, lines: (await readFile(join(directory, name), 'utf8')).split('\n').slice(0, -1) })
  return { files: await Promise.all([...names, basename(log)].map(read)), head: await readFile(head, 'utf8') }
}

/** Only what is not there already is written. */
function verifierIn(directory: string, whole: LogText): TamperScene['verdictOf'] {
  let there = whole
  return async (log) => {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    for (const { name } of there.files) if (!log.files.some((file) => file.name === name)) await rm(join(directory, name), { force: true })
    for (const [at, { name, lines }] of log.files.entries()) {
      const torn = at === log.files.length - 1 ? (log.torn ?? '') : ''
      const isThere = torn === '' && there.torn === undefined && there.files.some((file) => file.name === name && file.lines === lines)
      if (!isThere) await writeOrRemove(join(directory, name), lines.map((line) => `${line}\n`).join('') + torn)
    }
    if (log.head !== there.head) await writeOrRemove(auditFiles(directory).head, log.head ?? '')
    there = log
    return verifyAudit(directory)
  }
}

async function writeOrRemove(path: string, text: string): Promise<void> {
  if (text === '') await rm(path, { force: true })
  else await writeFile(path, text)
}
