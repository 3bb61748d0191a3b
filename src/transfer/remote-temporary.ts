import { RemexError, withDetails } from '../core/errors.ts'
import { leftBehind } from './left-behind.ts'
import { showPath } from './path-name.ts'
import { isNotFound, missingDirectory } from './remote-side.ts'
import { OpenFlag } from './sftp/client.ts'
import type { RemoteFile, SftpClient } from './sftp/client.ts'
import type { Target } from './target.ts'

/** How long cleaning up may take; the caller has its error already. */
const CLEAN_UP_MS = 2000

/** Where a temporary file is for, and how it is made. */
export interface TemporaryPlace {
  readonly path: Buffer
  readonly target: Target
  /** Permission bits; the host's umask applies. */
  readonly mode: number
  /** Whether what lies there is ours, left by an earlier transfer. */
  readonly mayExist: boolean
}

/**
 * Makes a new file, in place of what an earlier transfer of ours left. Rejects with `REMOTE_NOT_FOUND` (the directory),
 * `PERMISSION_DENIED` and the like; nothing is left then.
 */
export async function createRemoteTemporary(sftp: SftpClient, place: TemporaryPlace): Promise<RemoteFile> {
  try {
    return await create(sftp, place)
  } catch (error) {
    if (!place.mayExist || !isAnswer(error) || sftp.isEnded || isNotFound(error)) throw error
    // Servers have no status of their own for a file that is there already.
    const isGone = await sftp.remove(place.path).then(() => true, () => false)
    if (!isGone) throw error
    return create(sftp, place)
  }
}

async function create(sftp: SftpClient, { path, target, mode }: TemporaryPlace): Promise<RemoteFile> {
  try {
    return await sftp.open(path, OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE, { mode })
  } catch (error) {
    // Without an answer, the file may have been made all the same.
    throw isAnswer(error) && !sftp.isEnded ? explainOpen(sftp, error, target) : await removeRemoteAfter(error, sftp, path)
  }
}

/** Whether the server itself said no, so that there is no file. */
function isAnswer(error: unknown): boolean {
  return error instanceof RemexError && ['REMOTE_NOT_FOUND', 'PERMISSION_DENIED', 'TRANSFER_FAILED'].includes(error.code)
}

function explainOpen(sftp: SftpClient, error: unknown, target: Target): unknown {
  if (isNotFound(error)) return missingDirectory(sftp, target.directory)
  if (!(error instanceof RemexError) || error.code !== 'PERMISSION_DENIED') return error
  const hint = `${showPath(target.directory)} must be writable for the login: files are replaced by renaming, never written over.`
  return withDetails(error, { hint })
}

/** Removes a temporary file after `error`, for at most 2 s; resolves with that error, which names the file where it may be left. */
export async function removeRemoteAfter(error: unknown, sftp: SftpClient, path: Buffer): Promise<unknown> {
  try {
    await sftp.under(AbortSignal.timeout(CLEAN_UP_MS)).remove(path)
    return error
  } catch (removal) {
    if (isNotFound(removal) || !(error instanceof RemexError)) return error
    return leftBehind(error, `${sftp.vmId}: ${showPath(path)}`)
  }
}
