import { RemexError, withDetails } from '../core/errors.ts'
import { leftBehind } from './left-behind.ts'
import { joinPath, showPath, temporaryName } from './path-name.ts'
import { isNotFound, missingDirectory } from './remote-side.ts'
import { OpenFlag } from './sftp/client.ts'
import type { RemoteFile, SftpClient } from './sftp/client.ts'
import type { Target } from './target.ts'

/** How long cleaning up may take; the caller has its error already. */
const CLEAN_UP_MS = 2000

/** Where a temporary file is for, and how it is made. */
export interface TemporaryPlace {
  readonly target: Target
  /** Permission bits; the host's umask applies. */
  readonly mode: number
}

/**
 * Lets `fill` write a new file beside the target. When it rejects, the file is removed (for at most 2 s), and the error
 * names it where it may be left behind. `fill` has renamed it away when it resolves.
 */
export async function withRemoteTemporary<T>(
  sftp: SftpClient,
  { target, mode }: TemporaryPlace,
  fill: (file: RemoteFile) => Promise<T>,
): Promise<T> {
  const path = joinPath(target.directory, temporaryName(target.name))
  const file = await create(sftp, path, { target, mode })
  try {
    return await fill(file)
  } catch (error) {
    throw await removeAfter(error, sftp, path)
  }
}

async function create(sftp: SftpClient, path: Buffer, { target, mode }: TemporaryPlace): Promise<RemoteFile> {
  try {
    return await sftp.open(path, OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE, { mode })
  } catch (error) {
    // Without an answer, the file may have been made all the same.
    throw isAnswer(error) && !sftp.isEnded ? explainOpen(sftp, error, target) : await removeAfter(error, sftp, path)
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

async function removeAfter(error: unknown, sftp: SftpClient, path: Buffer): Promise<unknown> {
  try {
    await sftp.under(AbortSignal.timeout(CLEAN_UP_MS)).remove(path)
    return error
  } catch (removal) {
    if (isNotFound(removal) || !(error instanceof RemexError)) return error
    return leftBehind(error, `${sftp.vmId}: ${showPath(path)}`)
  }
}
