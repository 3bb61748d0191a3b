import { statfs } from 'node:fs/promises'
import { RemexError, remexError } from '../core/errors.ts'
import { showPath } from './path-name.ts'
import type { SftpClient } from './sftp/client.ts'

/** A failed write, and what it was to write. */
export interface FailedWrite {
  readonly error: unknown
  /** Where it was to go. */
  readonly directory: Buffer
  /** What was not on the host yet. */
  readonly missingBytes: number
}

/** What is less is not asked about before: it is no loss to try, and to ask is a round trip. */
const WORTH_ASKING_BYTES = 64 * 1024
/** Below this much free space a failed write is taken as a full disk, however little was missing. */
const NEARLY_FULL_BYTES = 64 * 1024

/** Rejects with `NO_SPACE` where the host says that `neededBytes` do not fit in `directory`, so that nothing is begun in vain. */
export async function assertRemoteSpace(sftp: SftpClient, directory: Buffer, neededBytes: number): Promise<void> {
  if (neededBytes < WORTH_ASKING_BYTES || !sftp.offers('statvfs')) return
  const space = await sftp.statvfs(directory).catch(() => undefined)
  if (space === undefined || space.freeBytes >= neededBytes) return
  const what = `${sftp.vmId}: ${neededBytes} bytes do not fit in ${showPath(directory)}, where ${space.freeBytes} are free`
  throw remexError('NO_SPACE', what, { vmId: sftp.vmId })
}

/** {@link assertRemoteSpace} for a directory of this machine. */
export async function assertLocalSpace(directory: Buffer, neededBytes: number): Promise<void> {
  if (neededBytes < WORTH_ASKING_BYTES) return
  const space = await statfs(directory).catch(() => undefined)
  const freeBytes = space === undefined ? Infinity : space.bavail * space.bsize
  if (freeBytes >= neededBytes) return
  throw remexError('NO_SPACE', `${neededBytes} bytes do not fit in the local ${showPath(directory)}, where ${freeBytes} are free`)
}

/**
 * What a write to the host failed of: `NO_SPACE` where the file system has no room for it, else the error itself.
 * SFTP v3 says only "Failure" for a full disk, so the free space is asked for, where the server tells it.
 */
export async function explainFailedWrite(sftp: SftpClient, { error, directory, missingBytes }: FailedWrite): Promise<unknown> {
  const isFailure = error instanceof RemexError && error.code === 'TRANSFER_FAILED'
  if (!isFailure || !sftp.offers('statvfs')) return error
  try {
    const { freeBytes, freeFiles } = await sftp.statvfs(directory)
    if (freeBytes >= Math.max(missingBytes, NEARLY_FULL_BYTES) && freeFiles > 0) return error
    const left = freeFiles > 0 ? `${freeBytes} bytes are free` : 'no more files can be made'
    return remexError('NO_SPACE', `${sftp.vmId}: no space left in ${showPath(directory)} (${left})`, { vmId: sftp.vmId, cause: error })
  } catch {
    return error
  }
}
