import { access } from 'node:fs/promises'
import type { AuditSoundness, AuditVerdict } from '../../audit/verify/verdict.ts'
import { localFileError } from '../../core/atomic-file.ts'
import { readWhole } from '../../core/bounded-read.ts'
import { remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { printJson, withRemex, type Door } from '../door.ts'

/** Options of `remex audit verify`. */
export interface VerifyFlags {
  readonly publicKey?: string
  /** A file of anchors, `-` for standard input. */
  readonly anchor?: string
}

/** `remex audit verify`. With a directory it needs no configuration: an auditor has none. */
export async function verifyLog(door: Door, directory: string | undefined, flags: VerifyFlags): Promise<number> {
  const place = directory === undefined ? await withRemex(door, ({ config }) => Promise.resolve(config.settings.auditPath)) : await namedLog(directory)
  // Not as work that cleans up: there is nothing to clean up, so the first Ctrl-C ends it.
  return verified(door, place, flags)
}

/** A log that is not there is an empty one where Remex writes it, and a mistake where it is named. */
async function namedLog(directory: string): Promise<string> {
  await access(directory).catch((error: unknown) => {
    throw localFileError(error, directory)
  })
  const { Segments } = await import('../../audit/segments.ts')
  await using segments = await Segments.of(directory)
  if (segments.list.length > 0) return directory
  throw remexError('LOCAL_NOT_FOUND', `there is no audit log in ${printable(directory)}`, { hint: 'Name the directory that has audit.jsonl.' })
}

async function verified(door: Door, directory: string, { publicKey, anchor }: VerifyFlags): Promise<number> {
  const [{ verifyAudit }, { parseAnchors }] = await Promise.all([import('../../audit/verify/verify.ts'), import('../../audit/verify/anchor.ts')])
  const anchors = anchor === undefined ? undefined : parseAnchors(await textOf(anchor), anchor === '-' ? 'standard input' : printable(anchor))
  const verdict = await verifyAudit(directory, { publicKey, anchors })
  if (door.globals.json) await printJson(door, verdictRow(verdict))
  else await door.stdout.line(verdictLines(verdict).join('\n'))
  return verdict.ok ? 0 : 1
}

/** An anchor a minute for a year is some 60 MB. */
const MOST_ANCHOR_BYTES = 64 * 1024 * 1024

async function textOf(path: string): Promise<string> {
  const bytes = path === '-' ? await inputBytes() : await readWhole(path, MOST_ANCHOR_BYTES).catch((error: unknown) => {
    throw localFileError(error, path)
  })
  if (bytes) return bytes.toString()
  throw remexError('USAGE', `${path === '-' ? 'standard input' : printable(path)} has more than 64 MiB: those are no anchors`)
}

/** Not by way of /dev/stdin: where standard input is a socket that cannot be opened. */
async function inputBytes(): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes > MOST_ANCHOR_BYTES) return undefined
  }
  return Buffer.concat(chunks)
}

function verdictRow(verdict: AuditVerdict): object {
  if (!verdict.ok) return verdict
  const { count, head, headChecked, tornBytes, files, firstSeq, signed, anchors, outputs, repaired } = verdict
  return {
    ok: true,
    count,
    head,
    head_checked: headChecked,
    torn_bytes: tornBytes,
    files,
    first_seq: firstSeq,
    key: signed?.key ?? null,
    signed_seq: signed?.seq ?? 0,
    anchors_checked: anchors.checked,
    anchors_too_old: anchors.tooOld,
    outputs,
    repaired,
  }
}

function verdictLines(verdict: AuditVerdict): readonly string[] {
  if (!verdict.ok) return [printable(`audit log: WRONG: ${verdict.message}`)]
  const { count, head } = verdict
  return [`audit log: ok, ${count} ${count === 1 ? 'record' : 'records'}, head ${head.seq} ${head.hash}`, ...notes(verdict).map((note) => `  ${note}`)]
}

function notes({ head, headChecked, tornBytes, firstSeq, signed, anchors, outputs, repaired, count }: AuditSoundness): readonly string[] {
  return [
    count > 0 && signedNote(signed, head.seq),
    firstSeq > 1 && `records 1 to ${firstSeq - 1} were removed by retention`,
    anchors.checked > 0 && `agrees with ${counted(anchors.checked, 'anchor')}`,
    anchors.tooOld > 0 && `${counted(anchors.tooOld, 'anchor')} not compared: what they name was removed by retention`,
    outputs > 0 && `${counted(outputs, 'file')} of recorded output read`,
    !headChecked && count > 0 && 'head.json is not there, so records may be missing at the end',
    tornBytes > 0 && `${tornBytes} bytes of an interrupted write follow the last record`,
    repaired.length > 0 && `repaired, as ${repaired.length === 1 ? 'record' : 'records'} ${repaired.slice(0, 10).join(', ')}${repaired.length > 10 ? ', …' : ''} ${repaired.length === 1 ? 'says' : 'say'}: remex audit show ${repaired[0] ?? ''}`,
  ].filter((note) => note !== false)
}

function signedNote(signed: AuditSoundness['signed'], lastSeq: number): string {
  if (!signed) return 'not signed: it was written by a version that did not sign'
  return `signed by ${signed.key}${signed.seq >= lastSeq ? '' : `, up to record ${signed.seq}`}`
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`
