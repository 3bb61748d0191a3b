import { createHash } from 'node:crypto'
import { remexError } from '../core/errors.ts'
import type { TransferAccess } from './access.ts'
import { throwIfAborted } from './abort.ts'
import { assertRemoteSha256 } from './checksum.ts'
import { localSide } from './local-side.ts'
import { createLocalTemporary } from './local-temporary.ts'
import type { LocalTemporary } from './local-temporary.ts'
import { planMode } from './mode.ts'
import { openSftp } from './open-sftp.ts'
import { baseName, pathBytes, showPath } from './path-name.ts'
import type { PathName } from './path-name.ts'
import { readAll } from './pipeline.ts'
import type { Content, Receipt, TransferOptions } from './receipt.ts'
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

/** A file on the host that is open for reading. */
interface RemoteSource {
  readonly file: RemoteFile
  /** Absolute. */
  readonly path: Buffer
  /** What the host said before; files of /proc say 0. */
  readonly sizeBytes: number
  readonly mode: number | undefined
}

/** What one download works with. */
interface Job {
  readonly access: TransferAccess
  readonly sftp: SftpClient
  readonly source: RemoteSource
  readonly request: DownloadRequest
}

const CHANGING_HINT =
  'The file may have changed while it was read: logs in use and files of /proc do. Then copy it on the host first, and fetch the copy.'

/**
 * Fetches a file of the host: into a temporary file beside the local target, compared by SHA-256, put on disk, renamed over
 * the target. Until the rename the old file is untouched, and on any failure the temporary file is removed.
 * The file is read to its end whatever its size is said to be. A file that the kernel makes anew for each reader is held to
 * the same rule: what cannot be read twice the same way is `CHECKSUM_MISMATCH`, not verified.
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
    return await fetchFile({ access, sftp, source: await openRemote(sftp, remote), request }, target)
  } finally {
    sftp.end()
  }
}

/** Looks before it opens: opening a pipe would hang the server, and a directory can be opened but not read. */
async function openRemote(sftp: SftpClient, remote: Buffer): Promise<RemoteSource> {
  const [attributes, path] = await Promise.all([sftp.stat(remote), sftp.realpath(remote)])
  const kind = fileKind(attributes)
  if (kind !== 'file' && kind !== 'unknown') {
    const what = kind === 'directory' ? 'a directory' : 'not a regular file'
    throw remexError('USAGE', `${sftp.vmId}: ${showPath(remote)} is ${what}`, { vmId: sftp.vmId, hint: 'Name a regular file.' })
  }
  return { file: await sftp.open(path, OpenFlag.READ), path, sizeBytes: attributes.sizeBytes ?? 0, mode: attributes.mode }
}

async function fetchFile(job: Job, target: Target): Promise<Receipt> {
  const plan = planMode({ given: job.request.mode, existing: target.existing?.mode, source: job.source.mode })
  const temporary = await createLocalTemporary(target, plan.createMode)
  try {
    const content = await receive(job, temporary)
    const verified = await verify(job, content)
    const mode = plan.finalMode(await temporary.mode())
    throwIfAborted(job.request.signal)
    await temporary.replaceTarget(mode)
    const ends = { local: target.path.toString(), remote: job.source.path.toString() }
    return { vmId: job.access.vmId, direction: 'download', ...ends, ...content, verified, mode, resumedFromBytes: 0 }
  } catch (error) {
    throw await temporary.discardAfter(error)
  }
}

async function receive({ sftp, source, request }: Job, temporary: LocalTemporary): Promise<Content> {
  const hash = createHash('sha256')
  const totalBytes = source.sizeBytes === 0 ? undefined : source.sizeBytes
  let sizeBytes = 0
  for await (const chunk of readAll(sftp, source.file, source.sizeBytes)) {
    hash.update(chunk)
    await temporary.append(chunk)
    sizeBytes += chunk.length
    request.onProgress?.(sizeBytes, totalBytes)
  }
  await sftp.close(source.file)
  return { sizeBytes, sha256: hash.digest('hex') }
}

/** False where the caller did not want it. */
async function verify({ access, sftp, source, request }: Job, content: Content): Promise<boolean> {
  if (request.verify === false) return false
  await assertRemoteSha256({ access, sftp, signal: request.signal }, { path: source.path, ...content, hint: CHANGING_HINT })
  return true
}
