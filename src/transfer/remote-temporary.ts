import { RemexError, withDetails } from '../core/errors.ts'
import { leftBehind } from './left-behind.ts'
import { joinPath, showPath, temporaryName } from './path-name.ts'
import { isNotFound, missingDirectory } from './remote-side.ts'
import { OpenFlag } from './sftp/client.ts'
import type { RemoteFile, SftpClient } from './sftp/client.ts'
import type { Target } from './target.ts'

/** How long cleaning up may take; the caller has its error already. */
const CLEAN_UP_MS = 2000

/**
 * Lets `fill` write a new file beside `target`, with `mode` less the host's umask. When it rejects, the file is removed
 * (for at most 2 s), and the error names it where it may be left behind. `fill` has renamed it away when it resolves.
 */
export async function withRemoteTemporary<T>(sftp: SftpClient, place: { target: Target; mode: number }, fill: (file: RemoteFile) => Promise<T>): Promise<T> {
  const { target, mode } = place
  const path = joinPath(target.directory, temporaryName(target.name))
  let mayExist = true
  try {
    const file = await sftp.open(path, OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE, { mode }).catch((error: unknown) => {
      mayExist = sftp.isEnded || !isAnswer(error)
      throw explainOpen(sftp, error, target)
    })
    return await fill(file)
  } catch (error) {
    throw mayExist ? await removeAfter(error, sftp, path) : error
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
