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

/** Below this much free space a failed write is taken as a full disk, however little was missing. */
const NEARLY_FULL_BYTES = 64 * 1024

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
