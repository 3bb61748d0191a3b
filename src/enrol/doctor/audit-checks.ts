import { constants, type Stats } from 'node:fs'
import { access, lstat, readlink, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { contentsSaidBy } from '../../audit/contents.ts'
import { auditFiles } from '../../audit/files.ts'
import { Segments } from '../../audit/segments.ts'
import { verifyAudit } from '../../audit/verify/verify.ts'
import { errorCode, octal, systemReason } from '../../core/atomic-file.ts'
import { asRemexError, ERRORS } from '../../core/errors.ts'
import { isGone, parseOwner } from '../../core/lock-owner.ts'
import { quoteWord } from '../../core/quote.ts'
import { failed, failedBy, ok, skipped, warning, type Judgement } from './finding.ts'
import { judgeSpace, showSpace, type Space } from './space.ts'

/** A longer log takes seconds to read, and has a command of its own. */
const MOST_VERIFIED_BYTES = 64 * 1024 * 1024
const DAY_MS = 86_400_000
/** Whoever waits for the log gives up after this long. */
const LONG_HOLD_MS = 10_000

/** Whether the audit log in `directory` could be written, and whether what it has is whole. Writes nothing. */
export async function auditChecks(directory: string, nowMs: number, retentionDays = Infinity): Promise<readonly Judgement[]> {
  return [await placeCheck(directory, nowMs, retentionDays), await chainCheck(directory)]
}

async function placeCheck(directory: string, nowMs: number, retentionDays: number): Promise<Judgement> {
  try {
    const { path, stats } = await nearestExisting(directory)
    const refusal = await refusalOf(directory, { path, stats })
    if (refusal) return refusal
    const held = path === directory ? await lockCheck(directory, nowMs) : undefined
    return held ?? (await keptCheck(directory, nowMs, retentionDays)) ?? spaceCheck(directory, { path, space: await spaceOf(path) })
  } catch (error) {
    return failed('audit', `${directory} cannot be looked at: ${systemReason(error)}`, ERRORS.AUDIT_UNAVAILABLE.hint)
  }
}

interface Existing {
  readonly path: string
  readonly stats: Stats
}

/** The directory itself, or the one in which it would be made. */
async function nearestExisting(path: string): Promise<Existing> {
  try {
    return { path, stats: await stat(path) }
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '') || dirname(path) === path) throw error
    return nearestExisting(dirname(path))
  }
}

async function refusalOf(directory: string, { path, stats }: Existing): Promise<Judgement | undefined> {
  const { hint } = ERRORS.AUDIT_UNAVAILABLE
  if (!stats.isDirectory()) return failed('audit', `${directory} cannot be a directory: ${path} is a file`, 'Move the file away, or name another directory with audit_log_path.')
  const everyoneCanReplace = path === directory && (stats.mode & 0o002) !== 0 && (stats.mode & 0o1000) === 0
  if (everyoneCanReplace) return failed('audit', `${path} can be written by everyone (mode ${octal(stats.mode)}), so nothing in it can be trusted`, `chmod 700 ${quoteWord(path)}`)
  const { log, head, signingKey } = auditFiles(directory)
  for (const each of [path, ...(path === directory ? [log, head, signingKey] : [])]) {
    const reason = await accessReason(each, each === path ? constants.W_OK | constants.X_OK : constants.R_OK | constants.W_OK)
    if (reason !== undefined) return failed('audit', `${each} cannot be written: ${reason}`, hint)
  }
  return path === directory ? keyRefusal(directory) : undefined
}

/** Without its key nothing is recorded, and nothing runs. */
async function keyRefusal(directory: string): Promise<Judgement | undefined> {
  const { signingKey, publicKey } = auditFiles(directory)
  const [key, half] = await Promise.all([signingKey, publicKey].map((each) => stat(each).catch(() => undefined)))
  if (!key) return half && failed('audit', `${signingKey} is gone, and the log is signed by it`, 'Put it back from a copy, or move the directory away to begin a new log.')
  if ((key.mode & 0o077) === 0) return undefined
  return failed('audit', `others than its owner may read ${signingKey} (mode ${octal(key.mode)})`, `chmod 600 ${quoteWord(signingKey)}`)
}

/** Why not; undefined where it is allowed, or nothing is there. */
async function accessReason(path: string, mode: number): Promise<string | undefined> {
  try {
    await access(path, mode)
    return undefined
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? undefined : systemReason(error)
  }
}

/** Only what will stay in the way: a moment's hold is how the log is written. */
async function lockCheck(directory: string, nowMs: number): Promise<Judgement | undefined> {
  const { lock } = auditFiles(directory)
  const stats = await lstat(lock).catch(() => undefined)
  if (!stats) return undefined
  const owner = parseOwner(await readlink(lock).catch(() => ''))
  if (!owner) return failed('audit', `${lock} is in the place of the lock, and is not a lock that Remex made`, `See what it is, and move it away: ls -l ${quoteWord(lock)}`)
  const heldMs = nowMs - stats.mtimeMs
  if (isGone(owner) || heldMs < LONG_HOLD_MS) return undefined
  const seconds = Math.floor(heldMs / 1000)
  return warning('audit', `process ${owner.pid} on ${owner.host} has held ${lock} for ${seconds} s; whoever else wants to write gives up after ${LONG_HOLD_MS / 1000} s`, `See what it does: ps -fp ${owner.pid}`)
}

/** What is older than it should be is only kept because nobody took an anchor; a day later the log turns to a new file and would remove it. */
async function keptCheck(directory: string, nowMs: number, retentionDays: number): Promise<Judgement | undefined> {
  await using segments = await Segments.of(directory)
  const [oldest, next] = segments.list
  const file = next && (await segments.open(next))
  const contents = oldest && file && (await contentsSaidBy(file, oldest))
  if (!contents || nowMs - Date.parse(contents.to_time) < (retentionDays + 2) * DAY_MS) return undefined
  return warning('audit', `${oldest.name} is older than audit_retention_days (${retentionDays}) and is kept, for no anchor covers it`, 'remex audit anchor: keep what it prints elsewhere, and the file is removed when the log turns to a new one')
}

async function spaceOf(path: string): Promise<Space> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(path)
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize, freeInodes: files > 0 ? ffree : undefined }
}

function spaceCheck(directory: string, { path, space }: { readonly path: string; readonly space: Space }): Judgement {
  const made = path === directory ? '' : ', made at the first operation'
  const message = `${directory}${made}, ${showSpace(space)}`
  const status = judgeSpace(space)
  const hint = `Make room: df -h ${quoteWord(path)}`
  if (status === 'ok') return ok('audit', message)
  return status === 'warning' ? warning('audit', message, hint) : failed('audit', message, hint)
}

/** Of all files of the log together. */
async function logBytes(directory: string): Promise<number> {
  await using segments = await Segments.of(directory)
  const sizes = await Promise.all(segments.list.map(({ path }) => stat(path).then(({ size }) => size, () => 0)))
  return sizes.reduce((sum, size) => sum + size, 0)
}

async function chainCheck(directory: string): Promise<Judgement> {
  try {
    const sizeBytes = await logBytes(directory)
    if (sizeBytes > MOST_VERIFIED_BYTES) return skipped('audit_chain', `${directory} has ${Math.floor(sizeBytes / 1_000_000)} MB of records`, 'remex audit verify')
    const verdict = await verifyAudit(directory)
    if (!verdict.ok) return failed('audit_chain', `${join(directory, verdict.file)}: ${verdict.message}`, 'Keep the directory as it is and find out who wrote there: remex audit verify')
    const { count, headChecked, repaired } = verdict
    if (count > 0 && !headChecked) return warning('audit_chain', `${count} records; head.json is not there, so records may be missing at the end`, 'remex audit verify')
    const [first] = repaired
    if (first !== undefined) return warning('audit_chain', `${count} records; record ${first} says that something was found wrong and mended`, `remex audit show ${first}`)
    return ok('audit_chain', count === 0 ? 'there are no records yet' : `${count} records, all as they were written`)
  } catch (error) {
    return failedBy('audit_chain', asRemexError(error))
  }
}
