import { RemexError, remexError } from '../core/errors.ts'
import { freshMark } from './partials.ts'
import { joinPath, showPath, temporaryName } from './path-name.ts'
import { remoteSide } from './remote-side.ts'
import type { SftpClient } from './sftp/client.ts'
import type { Target } from './target.ts'

/** How long putting the old file back, or removing it, may take: the transfer's own deadline may have passed. */
const CLEAN_UP_MS = 2000

/**
 * Renames `temporary` over the target on the host. With `posix-rename@openssh.com` this is one step. Without it, a server
 * may refuse to rename over a file: then the old file is renamed aside, so that for a moment there is none at the target;
 * when the new one cannot take its place, the old one is put back.
 */
export async function replaceRemote(sftp: SftpClient, temporary: Buffer, target: Target): Promise<void> {
  if (sftp.offers('posix-rename')) return sftp.posixRename(temporary, target.path)
  try {
    await sftp.rename(temporary, target.path)
  } catch (error) {
    const isRefusal = error instanceof RemexError && error.code === 'TRANSFER_FAILED'
    if (!isRefusal || (await remoteSide(sftp).lstat(target.path)) === null) throw error
    await swap(sftp, temporary, target)
  }
}

async function swap(sftp: SftpClient, temporary: Buffer, target: Target): Promise<void> {
  const aside = joinPath(target.directory, temporaryName(target.name, freshMark()))
  try {
    await sftp.rename(target.path, aside)
    await sftp.rename(temporary, target.path)
  } catch (error) {
    throw await restore(error, { sftp: sftp.under(AbortSignal.timeout(CLEAN_UP_MS)), aside, target })
  }
  await sftp.under(AbortSignal.timeout(CLEAN_UP_MS)).remove(aside).catch((error: unknown) => {
    throw remexError('TRANSFER_FAILED', `${sftp.vmId}: the new file is in place, but the old one is still there as ${showPath(aside)}`, {
      vmId: sftp.vmId,
      hint: 'Remove it by hand.',
      cause: error,
    })
  })
}

/** Puts the old file back, unless the new one is there: what was asked last may have been done though no answer came. */
async function restore(error: unknown, { sftp, aside, target }: { sftp: SftpClient; aside: Buffer; target: Target }): Promise<unknown> {
  const side = remoteSide(sftp)
  try {
    if ((await side.lstat(aside)) === null) return error
    if ((await side.lstat(target.path)) === null) await sftp.rename(aside, target.path)
    else await sftp.remove(aside)
    return error
  } catch {
    const words = error instanceof Error ? error.message : ''
    return remexError('TRANSFER_FAILED', `${words}; the old file may be found as ${sftp.vmId}: ${showPath(aside)}`, {
      vmId: sftp.vmId,
      hint: 'Rename it back by hand.',
      cause: error,
    })
  }
}
