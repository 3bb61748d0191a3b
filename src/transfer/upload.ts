import type { TransferAccess } from './access.ts'
import { throwIfAborted } from './abort.ts'
import { assertRemoteSha256, readyHash, remoteSha256 } from './checksum.ts'
import type { ReadyHash } from './checksum.ts'
import { sameStart, noStart } from './same-start.ts'
import type { SameStart } from './same-start.ts'
import { assertRemoteSpace, explainFailedWrite } from './free-space.ts'
import { isWorthKeeping, withStanding } from './interrupted.ts'
import type { Standing } from './interrupted.ts'
import { Lanes } from './lanes.ts'
import { openSource } from './local-source.ts'
import type { OpenSource, UploadSource } from './local-source.ts'
import { planMode } from './mode.ts'
import type { ModePlan } from './mode.ts'
import { openSftp } from './open-sftp.ts'
import { holdingMark } from './partials.ts'
import type { PartialMark } from './partials.ts'
import { joinPath, pathBytes, temporaryName } from './path-name.ts'
import { writeAll } from './pipeline.ts'
import { keepsTimes } from './receipt.ts'
import type { Content, MoveOptions, Receipt, TransferOptions } from './receipt.ts'
import { remoteSide } from './remote-side.ts'
import { createRemoteTemporary, removeRemoteAfter } from './remote-temporary.ts'
import { replaceRemote } from './replace.ts'
import { OpenFlag } from './sftp/client.ts'
import type { RemoteFile, SftpClient } from './sftp/client.ts'
import { findTarget } from './target.ts'
import type { Target } from './target.ts'

/** A file to send. `mode` by default: see {@link planMode}. */
export type UploadRequest = UploadSource & TransferOptions

/** What one upload works with. */
export interface UploadJob {
  readonly access: TransferAccess
  readonly sftp: SftpClient
  readonly source: OpenSource
  readonly request: MoveOptions
}

/**
 * Sends a local file, or bytes, to a file on the host: into a temporary file beside the target, put on disk, compared by
 * SHA-256, renamed over the target. Until the rename the old file is untouched. On a failure the temporary file is removed,
 * unless it is worth going on with (see {@link isWorthKeeping}): then the next transfer to the same target does, or removes it.
 * A target that is a directory gets the file under its local name; a symbolic link keeps being one.
 * The new file belongs to the login, whoever owned the old one, and is no longer the same as other hard links to that.
 * Rejects with `LOCAL_NOT_FOUND`, `REMOTE_NOT_FOUND` (the directory), `PERMISSION_DENIED`, `NO_SPACE`, `CHECKSUM_MISMATCH`,
 * `CHECKSUM_UNAVAILABLE`, `TRANSFER_FAILED`, `USAGE`, what `access` rejects with, or the signal's reason.
 */
export async function upload(access: TransferAccess, request: UploadRequest): Promise<Receipt> {
  planMode({ given: request.mode, existing: undefined, source: undefined })
  const wanted = pathBytes(request.remotePath, 'remote path')
  const source = await openSource(request)
  try {
    const sftp = await openSftp(access, request.signal)
    try {
      return await sendFile({ access, sftp, source, request }, await findTarget(remoteSide(sftp), wanted, source.name))
    } finally {
      sftp.end()
    }
  } finally {
    await source.close()
  }
}

/** {@link upload} over an SFTP connection that is open, to a target that is known. */
export async function sendFile(job: UploadJob, target: Target): Promise<Receipt> {
  const { source, request, access } = job
  const given = request.mode ?? (request.preserve ? source.mode : undefined)
  const plan = planMode({ given, existing: target.existing?.mode, source: source.mode })
  const same = request.checksum === true && target.existing?.kind === 'file' ? await sameContent(job, target) : undefined
  if (same !== undefined) return receiptOf(job, target, { ...same, mode: await setThere(job, target, plan), resumedFromBytes: same.sizeBytes, isUnchanged: true })
  return holdingMark(request.partials, [access.vmId, 'upload', target.path], (mark) => sendMarked(job, { target, plan, mark }))
}

interface Marked {
  readonly target: Target
  readonly plan: ModePlan
  readonly mark: PartialMark
}

async function sendMarked(job: UploadJob, marked: Marked): Promise<Receipt> {
  const { sftp, source, request } = job
  const { target, mark } = marked
  const path = joinPath(target.directory, temporaryName(target.name, mark))
  using lanes = new Lanes(job.access, sftp, { sizeBytes: source.sizeBytes ?? 0, flags: OpenFlag.WRITE, signal: request.signal, beside: request.beside, mostLanes: request.mostLanes })
  const start = request.resume && mark.isStable ? await startThere(job, path) : noStart()
  const isRoomy = assertRemoteSpace(sftp, target.directory, (source.sizeBytes ?? 0) - start.sizeBytes)
  isRoomy.catch(() => undefined)
  const file = await openTemporary(sftp, { ...marked, path, start })
  lanes.use(file)
  const standing = { doneBytes: start.sizeBytes, totalBytes: source.sizeBytes, resume: request.resume === true }
  try {
    await isRoomy
    return await fill(job, { ...marked, file, start, standing, lanes })
  } catch (error) {
    if (mark.isStable && isWorthKeeping(error, standing)) throw withStanding(error, standing)
    throw await removeRemoteAfter(error, sftp, path)
  }
}

/** What an earlier upload left that is the beginning of the source. */
async function startThere({ access, sftp, source, request: { signal } }: UploadJob, path: Buffer): Promise<SameStart> {
  const old = await remoteSide(sftp).lstat(path)
  if (old?.kind !== 'file' || !old.sizeBytes) return noStart()
  return sameStart({ access, sftp, signal }, source, { path, sizeBytes: old.sizeBytes, mustBeOwn: true })
}

async function openTemporary(sftp: SftpClient, { target, plan, mark, path, start }: Marked & { path: Buffer; start: SameStart }): Promise<RemoteFile> {
  if (start.sizeBytes === 0) return createRemoteTemporary(sftp, { path, target, mode: plan.createMode, mayExist: mark.isStable })
  const file = await sftp.open(path, OpenFlag.WRITE)
  await sftp.fsetstat(file, { sizeBytes: start.sizeBytes })
  return file
}

interface Filling extends Marked {
  readonly file: RemoteFile
  readonly lanes: Lanes
  readonly start: SameStart
  readonly standing: { -readonly [K in keyof Standing]: Standing[K] }
}

async function fill(job: UploadJob, filling: Filling): Promise<Receipt> {
  const { sftp, source, request } = job
  const { file, target, start } = filling
  using ready = isWorthReadying(job) ? readyHash({ access: job.access, signal: request.signal }, file.path) : undefined
  const content = await write(job, filling)
  await source.assertUnchanged()
  const verifying = request.verify === false ? undefined : verify(job, file.path, { content, ready })
  // What the login may not read any more it could not hash.
  const isSetFirst = isReadable(filling.plan)
  const settling = settle(job, filling, isSetFirst)
  await bothOf(settling, verifying)
  const mode = isSetFirst ? await settling : await setAttributes(job, file, filling.plan)
  throwIfAborted(request.signal)
  // With fsync there is nothing left that closing could tell.
  const closing = sftp.close(file)
  closing.catch(() => undefined)
  if (!sftp.offers('fsync')) await closing
  await replaceRemote(sftp, file.path, target)
  return receiptOf(job, target, { ...content, mode, resumedFromBytes: start.sizeBytes, isUnchanged: false, verified: verifying !== undefined })
}

/** For less, the start of a command beside the transfer saves nothing. */
const WORTH_READYING_BYTES = 1024 * 1024

function isWorthReadying({ source, request }: UploadJob): boolean {
  return request.verify !== false && (source.sizeBytes ?? 0) >= WORTH_READYING_BYTES
}

async function verify({ access, sftp, request: { signal } }: UploadJob, path: Buffer, { content, ready }: { content: Content; ready: ReadyHash | undefined }): Promise<void> {
  await assertRemoteSha256({ access, sftp, signal }, { path, ...content, known: await ready?.now() })
}

/** Whether the login may read the file once it has its mode. */
function isReadable(plan: ModePlan): boolean {
  return ((plan.fixedMode ?? plan.finalMode(plan.createMode)) & 0o400) !== 0
}

/** Gives the file its attributes, if it is to have them by now, and puts it on disk. */
async function settle(job: UploadJob, filling: Filling, isSet: boolean): Promise<number | null> {
  const mode = isSet ? await setAttributes(job, filling.file, filling.plan) : null
  await putOnDisk(job, filling)
  return mode
}

/** Writes the source to the file, from where it begins to differ. */
async function write({ sftp, source, request }: UploadJob, { file, target, start, standing, lanes }: Filling): Promise<Content> {
  const { limit, signal } = request
  const { hash } = start
  let readBytes = start.sizeBytes
  const onChunk = (chunk: Buffer): void => {
    hash.update(chunk)
    readBytes += chunk.length
  }
  const onAcknowledged = (byteCount: number): void => {
    standing.doneBytes += byteCount
    request.onProgress?.(standing.doneBytes, source.sizeBytes)
  }
  try {
    const content = { source: limit?.slowed(source, signal) ?? source, onChunk, onAcknowledged, startBytes: start.sizeBytes, windowBytes: lanes.windowBytes }
    await writeAll(lanes, file, content)
  } catch (error) {
    throw await explainFailedWrite(sftp, { error, directory: target.directory, missingBytes: (source.sizeBytes ?? readBytes) - standing.doneBytes })
  }
  return { sizeBytes: readBytes, sha256: hash.digest('hex') }
}

async function putOnDisk({ sftp }: UploadJob, { file, target }: Filling): Promise<void> {
  if (!sftp.offers('fsync')) return
  await sftp.fsync(file).catch(async (error: unknown) => {
    throw await explainFailedWrite(sftp, { error, directory: target.directory, missingBytes: 0 })
  })
}

/** Waits for both, whatever becomes of either: neither is to be under way when the file is removed. */
async function bothOf(one: Promise<unknown>, other: Promise<unknown> | undefined): Promise<void> {
  await Promise.allSettled([one, other])
  await one
  await other
}

/**
 * Gives the file its mode and times; resolves with the mode, or with null where it depends on what the host does not tell.
 * By handle: where others may write to the directory, the name could mean another file by now.
 */
async function setAttributes({ sftp, source, request }: UploadJob, file: RemoteFile, plan: ModePlan): Promise<number | null> {
  const created = plan.fixedMode === undefined ? (await sftp.fstat(file)).mode : undefined
  const mode = created === undefined ? plan.fixedMode : plan.finalMode(created)
  const isSet = mode === undefined || (created !== undefined && mode === (created & 0o7777))
  const wanted = { ...(isSet ? {} : { mode }), ...(keepsTimes(request) ? source.times : {}) }
  if (Object.keys(wanted).length > 0) await sftp.fsetstat(file, wanted)
  return mode ?? null
}

/** The content of the target where it is that of the source; undefined where it is another. */
async function sameContent({ access, sftp, source, request: { signal } }: UploadJob, { path, existing }: Target): Promise<(Content & { verified: true }) | undefined> {
  if (existing?.sizeBytes === undefined || existing.sizeBytes !== (source.sizeBytes ?? 0)) return undefined
  const [theirs, ours] = [remoteSha256({ access, sftp, signal }, { path, sizeBytes: existing.sizeBytes }), source.sha256()]
  const [there, here] = await Promise.all([theirs, ours])
  return there === here ? { sizeBytes: existing.sizeBytes, sha256: here, verified: true } : undefined
}

/** Sets what is asked for on a target whose content is right; resolves with its mode. */
async function setThere({ sftp, source, request }: UploadJob, { path, existing }: Target, plan: ModePlan): Promise<number | null> {
  const mode = plan.fixedMode
  const wanted = { ...(mode === undefined || mode === (existing?.mode ?? -1) % 0o10000 ? {} : { mode }), ...(keepsTimes(request) ? source.times : {}) }
  if (Object.keys(wanted).length > 0) await sftp.setstat(path, wanted)
  return mode ?? null
}

function receiptOf({ access, source }: UploadJob, target: Target, rest: Omit<Receipt, 'vmId' | 'direction' | 'local' | 'remote'>): Receipt {
  return { vmId: access.vmId, direction: 'upload', local: source.label, remote: target.path.toString(), ...rest }
}
