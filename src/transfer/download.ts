import { remexError } from '../core/errors.ts'
import type { TransferAccess } from './access.ts'
import { throwIfAborted } from './abort.ts'
import { assertRemoteSha256, remoteSha256 } from './checksum.ts'
import type { ChecksumPaths } from './checksum.ts'
import { sameStart, noStart } from './same-start.ts'
import type { SameStart } from './same-start.ts'
import { assertLocalSpace } from './free-space.ts'
import { isWorthKeeping, withStanding } from './interrupted.ts'
import type { Standing } from './interrupted.ts'
import { Lanes } from './lanes.ts'
import { localSide, setLocalAttributes } from './local-side.ts'
import { openSource } from './local-source.ts'
import { openLocalTemporary } from './local-temporary.ts'
import type { FileTimes, LocalTemporary } from './local-temporary.ts'
import { planMode } from './mode.ts'
import type { ModePlan } from './mode.ts'
import { openSftp } from './open-sftp.ts'
import { holdingMark } from './partials.ts'
import type { PartialMark } from './partials.ts'
import { baseName, pathBytes, showPath } from './path-name.ts'
import type { PathName } from './path-name.ts'
import { readAll } from './pipeline.ts'
import { keepsTimes } from './receipt.ts'
import type { Content, MoveOptions, Receipt, TransferOptions } from './receipt.ts'
import { fileKind } from './sftp/attributes.ts'
import { OpenFlag } from './sftp/client.ts'
import type { RemoteFile, SftpClient } from './sftp/client.ts'
import { findTarget } from './target.ts'
import type { Target } from './target.ts'

/** A file to fetch. `mode` by default: see {@link planMode}. */
export interface DownloadRequest extends TransferOptions {
  /** File here, or a directory to put it into. */
  readonly localPath: PathName
}

/** A file on the host. */
export interface RemoteSource {
  /** Absolute. */
  readonly path: Buffer
  /** What the host said before; files of /proc say 0. */
  readonly sizeBytes: number
  readonly mode: number | undefined
  readonly times: FileTimes | undefined
}

/** What one download works with. */
export interface DownloadJob {
  readonly access: TransferAccess
  readonly sftp: SftpClient
  readonly source: RemoteSource
  readonly request: MoveOptions
}

const CHANGING_HINT =
  'The file may have changed while it was read: files of /proc do. Then copy it on the host first, and fetch the copy.'

/** From here on the host computes the SHA-256 while the bytes move; for less, another channel beside them saves nothing. */
const HASH_AHEAD_BYTES = 1024 * 1024

/**
 * Fetches a file of the host: into a temporary file beside the local target, compared by SHA-256, put on disk, renamed over
 * the target. Until the rename the old file is untouched. On a failure the temporary file is removed, unless it is worth going
 * on with (see {@link isWorthKeeping}): then the next transfer to the same target does, or removes it.
 * A file that grows meanwhile is fetched as long as it was at the beginning; what the host says is empty (/proc) is read to
 * its end. A file that the kernel makes anew for each reader is held to the same rule as all: what cannot be read twice the
 * same way is `CHECKSUM_MISMATCH`, not verified.
 * A target that is a directory gets the file under its name on the host; a symbolic link keeps being one.
 * Rejects with `REMOTE_NOT_FOUND`, `LOCAL_NOT_FOUND` (the directory), `PERMISSION_DENIED`, `NO_SPACE`, `CHECKSUM_MISMATCH`,
 * `CHECKSUM_UNAVAILABLE`, `TRANSFER_FAILED`, `USAGE`, what `access` rejects with, or the signal's reason.
 */
export async function download(access: TransferAccess, request: DownloadRequest): Promise<Receipt> {
  planMode({ given: request.mode, existing: undefined, source: undefined })
  const remote = pathBytes(request.remotePath, 'remote path')
  const target = await findTarget(localSide, pathBytes(request.localPath, 'local path'), baseName(remote))
  const sftp = await openSftp(access, request.signal)
  try {
    return await receiveFile({ access, sftp, source: await findRemote(sftp, remote), request }, target)
  } finally {
    sftp.end()
  }
}

/**
 * Looks at a file on the host, before it is opened: opening a pipe would hang the server, and a directory can be opened but
 * not read. Rejects with `REMOTE_NOT_FOUND`, `PERMISSION_DENIED`, `USAGE` for what is not a regular file.
 */
export async function findRemote(sftp: SftpClient, remote: Buffer): Promise<RemoteSource> {
  const [attributes, path] = await Promise.all([sftp.stat(remote), sftp.realpath(remote)])
  const kind = fileKind(attributes)
  if (kind !== 'file' && kind !== 'unknown') {
    const what = kind === 'directory' ? 'a directory' : 'not a regular file'
    const hint = kind === 'directory' ? 'A whole tree is moved with --recursive.' : 'Name a regular file.'
    throw remexError('USAGE', `${sftp.vmId}: ${showPath(remote)} is ${what}`, { vmId: sftp.vmId, hint })
  }
  const { sizeBytes = 0, mode, atime, mtime } = attributes
  const times = atime === undefined || mtime === undefined ? undefined : { atime, mtime }
  return { path, sizeBytes, mode, times }
}

/** {@link download} over an SFTP connection that is open, of a file that was looked at, to a target that is known. */
export async function receiveFile(job: DownloadJob, target: Target): Promise<Receipt> {
  const { source, request, access } = job
  const given = request.mode ?? (request.preserve && source.mode !== undefined ? source.mode & 0o777 : undefined)
  const plan = planMode({ given, existing: target.existing?.mode, source: source.mode })
  const same = request.checksum === true && target.existing?.kind === 'file' ? await sameContent(job, target) : undefined
  if (same !== undefined) return receiveSame(job, { target, plan, same })
  return holdingMark(request.partials, [access.vmId, 'download', source.path, target.path], (mark) => receiveMarked(job, { target, plan, mark }))
}

interface Marked {
  readonly target: Target
  readonly plan: ModePlan
  readonly mark: PartialMark
}

async function receiveMarked(job: DownloadJob, { target, plan, mark }: Marked): Promise<Receipt> {
  const { source, request, sftp, access } = job
  using lanes = new Lanes(access, sftp, { sizeBytes: source.sizeBytes, flags: OpenFlag.READ, signal: request.signal, beside: request.beside, mostLanes: request.mostLanes })
  const file = await sftp.open(source.path, OpenFlag.READ)
  lanes.use(file)
  const resume = request.resume === true
  const temporary = await openLocalTemporary({ target, mode: plan.createMode, mark, resume })
  const standing = { doneBytes: 0, totalBytes: source.sizeBytes === 0 ? undefined : source.sizeBytes, resume }
  try {
    const start = await startHere(job, temporary)
    standing.doneBytes = start.sizeBytes
    await assertLocalSpace(target.directory, source.sizeBytes - start.sizeBytes)
    return await fill(job, { temporary, start, standing, target, plan, lanes, file })
  } catch (error) {
    if (!mark.isStable || !isWorthKeeping(error, standing)) throw await temporary.discardAfter(error)
    await temporary.keep()
    throw withStanding(error, standing)
  } finally {
    // Nothing depends on it, and over a long way it is worth not waiting for.
    sftp.close(file).catch(() => undefined)
  }
}

/** What an earlier download left that is the beginning of the source; the rest is cut off. */
async function startHere({ access, sftp, source, request: { signal } }: DownloadJob, temporary: LocalTemporary): Promise<SameStart> {
  const sizeBytes = Math.min(temporary.sizeBytes, source.sizeBytes)
  const start = sizeBytes === 0 ? noStart() : await sameStart({ access, sftp, signal }, temporary, { path: source.path, sizeBytes, mustBeOwn: false })
  if (temporary.sizeBytes !== start.sizeBytes) await temporary.truncate(start.sizeBytes)
  return start
}

interface Filling {
  readonly temporary: LocalTemporary
  readonly start: SameStart
  readonly standing: { -readonly [K in keyof Standing]: Standing[K] }
  readonly target: Target
  readonly plan: ModePlan
  readonly lanes: Lanes
  readonly file: RemoteFile
}

async function fill(job: DownloadJob, filling: Filling): Promise<Receipt> {
  const { source, request } = job
  const { temporary, start, target, plan } = filling
  const theirs = hashAhead(job)
  const content = await receive(job, filling)
  const [verified] = await Promise.all([verify(job, content, theirs), temporary.sync()])
  const mode = plan.finalMode(await temporary.mode())
  throwIfAborted(request.signal)
  await temporary.replaceTarget(mode, keepsTimes(request) ? source.times : undefined)
  return receiptOf(job, target, { ...content, verified, mode, resumedFromBytes: start.sizeBytes, isUnchanged: false })
}

async function receive({ sftp, source, request }: DownloadJob, { temporary, start, standing, lanes, file }: Filling): Promise<Content> {
  const { hash } = start
  const expectedBytes = source.sizeBytes
  const { limit, signal, onProgress } = request
  const windowBytes = Math.min(lanes.windowBytes, limit?.bytesPerSecond ?? Infinity)
  for await (const chunk of readAll(lanes, file, { expectedBytes, startBytes: start.sizeBytes, windowBytes })) {
    const isBeyond = expectedBytes > 0 && standing.doneBytes + chunk.length > expectedBytes
    const wanted = isBeyond && (await hasGrown(sftp, file, expectedBytes)) ? chunk.subarray(0, expectedBytes - standing.doneBytes) : chunk
    await limit?.take(wanted.length, signal)
    hash.update(wanted)
    await temporary.append(wanted)
    standing.doneBytes += wanted.length
    onProgress?.(standing.doneBytes, standing.totalBytes)
    if (wanted !== chunk) break
  }
  return { sizeBytes: standing.doneBytes, sha256: hash.digest('hex') }
}

/** Tells a file that grows, of which the beginning is wanted, from one whose size was never true. */
async function hasGrown(sftp: SftpClient, file: RemoteFile, sizeBytes: number): Promise<boolean> {
  return ((await sftp.fstat(file)).sizeBytes ?? 0) > sizeBytes
}

/** The host's SHA-256, computed while the bytes move; undefined where it is not to be, or later. */
function hashAhead({ access, sftp, source, request: { verify: wanted, signal } }: DownloadJob): Promise<string> | undefined {
  if (wanted === false || source.sizeBytes < HASH_AHEAD_BYTES) return undefined
  const asked = remoteSha256({ access, sftp, signal }, source)
  asked.catch(() => undefined)
  return asked
}

/** False where the caller did not want it. */
async function verify({ access, sftp, source, request }: DownloadJob, content: Content, theirs: Promise<string> | undefined): Promise<boolean> {
  if (request.verify === false) return false
  const paths: ChecksumPaths = { access, sftp, signal: request.signal }
  await assertRemoteSha256(paths, { path: source.path, ...content, known: await theirs, mayHaveGrown: content.sizeBytes === source.sizeBytes, hint: CHANGING_HINT })
  return true
}

/** The content of the target where it is that of the source; undefined where it is another. */
async function sameContent({ access, sftp, source, request: { signal } }: DownloadJob, { path, existing }: Target): Promise<Content | undefined> {
  if (existing?.sizeBytes === undefined || existing.sizeBytes !== source.sizeBytes) return undefined
  const ours = await openSource({ localPath: path })
  try {
    const [there, here] = await Promise.all([remoteSha256({ access, sftp, signal }, source), ours.sha256()])
    return there === here ? { sizeBytes: existing.sizeBytes, sha256: here } : undefined
  } finally {
    await ours.close()
  }
}

interface Same {
  readonly target: Target
  readonly plan: ModePlan
  readonly same: Content
}

async function receiveSame(job: DownloadJob, { target, plan, same }: Same): Promise<Receipt> {
  const mode = plan.finalMode(target.existing?.mode ?? 0)
  await setLocalAttributes(target.path, mode, keepsTimes(job.request) ? job.source.times : undefined)
  return receiptOf(job, target, { ...same, verified: true, mode, resumedFromBytes: same.sizeBytes, isUnchanged: true })
}

function receiptOf({ access, source }: DownloadJob, target: Target, rest: Omit<Receipt, 'vmId' | 'direction' | 'local' | 'remote'>): Receipt {
  return { vmId: access.vmId, direction: 'download', local: target.path.toString(), remote: source.path.toString(), ...rest }
}
