import { createHash } from 'node:crypto'
import type { TransferAccess } from './access.ts'
import { throwIfAborted } from './abort.ts'
import { assertRemoteSha256 } from './checksum.ts'
import { explainFailedWrite } from './free-space.ts'
import { openSource } from './local-source.ts'
import type { OpenSource, UploadSource } from './local-source.ts'
import { planMode } from './mode.ts'
import type { ModePlan } from './mode.ts'
import { openSftp } from './open-sftp.ts'
import { pathBytes } from './path-name.ts'
import { writeAll } from './pipeline.ts'
import type { Content, Receipt, TransferOptions } from './receipt.ts'
import { remoteSide } from './remote-side.ts'
import { withRemoteTemporary } from './remote-temporary.ts'
import { replaceRemote } from './replace.ts'
import type { RemoteFile, SftpClient } from './sftp/client.ts'
import { findTarget } from './target.ts'
import type { Target } from './target.ts'

/** A file to send. `mode` by default: see {@link planMode}. */
export type UploadRequest = UploadSource & TransferOptions

/** What one upload works with. */
interface Job {
  readonly access: TransferAccess
  readonly sftp: SftpClient
  readonly source: OpenSource
  readonly request: UploadRequest
}

/**
 * Sends a local file, or bytes, to a file on the host: into a temporary file beside the target, put on disk, compared by
 * SHA-256, renamed over the target. Until the rename the old file is untouched, and on any failure the temporary file is removed.
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
      return await send({ access, sftp, source, request }, await findTarget(remoteSide(sftp), wanted, source.name))
    } finally {
      sftp.end()
    }
  } finally {
    await source.close()
  }
}

async function send(job: Job, target: Target): Promise<Receipt> {
  const { access, sftp, source, request } = job
  const { signal } = request
  const plan = planMode({ given: request.mode, existing: target.existing?.mode, source: source.mode })
  return withRemoteTemporary(sftp, { target, mode: plan.createMode }, async (file) => {
    const content = await write(job, file, target)
    await source.assertUnchanged()
    const verified = request.verify !== false
    if (verified) await assertRemoteSha256({ access, sftp, signal }, { path: file.path, ...content })
    const mode = await setMode(sftp, file, plan)
    await sftp.close(file)
    throwIfAborted(signal)
    await replaceRemote(sftp, file.path, target)
    const ends = { local: source.label, remote: target.path.toString() }
    return { vmId: access.vmId, direction: 'upload', ...ends, ...content, verified, mode, resumedFromBytes: 0 }
  })
}

/** Writes the source to `file`, and puts it on disk where the server can. */
async function write({ sftp, source, request }: Job, file: RemoteFile, target: Target): Promise<Content> {
  const hash = createHash('sha256')
  let readBytes = 0
  let doneBytes = 0
  const onChunk = (chunk: Buffer): void => {
    hash.update(chunk)
    readBytes += chunk.length
  }
  const onAcknowledged = (byteCount: number): void => {
    doneBytes += byteCount
    request.onProgress?.(doneBytes, source.sizeBytes)
  }
  try {
    await writeAll(sftp, file, { source, onChunk, onAcknowledged })
    if (sftp.offers('fsync')) await sftp.fsync(file)
  } catch (error) {
    const missingBytes = (source.sizeBytes ?? readBytes) - doneBytes
    throw await explainFailedWrite(sftp, { error, directory: target.directory, missingBytes })
  }
  return { sizeBytes: readBytes, sha256: hash.digest('hex') }
}

/**
 * Gives the file its mode; resolves with it, or with null where it depends on what the host does not tell.
 * By handle: where others may write to the directory, the name could mean another file by now.
 */
async function setMode(sftp: SftpClient, file: RemoteFile, plan: ModePlan): Promise<number | null> {
  const created = plan.fixedMode === undefined ? (await sftp.fstat(file)).mode : undefined
  const mode = created === undefined ? plan.fixedMode : plan.finalMode(created)
  if (mode === undefined) return null
  if (created === undefined || mode !== (created & 0o7777)) await sftp.fsetstat(file, { mode })
  return mode
}
