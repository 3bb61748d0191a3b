import { resolve } from 'node:path'
import { remexError } from '../core/errors.ts'
import type { TransferAccess } from './access.ts'
import { openSftp } from './open-sftp.ts'
import { pathBytes, showPath } from './path-name.ts'
import { remoteSide } from './remote-side.ts'
import { rootOf } from './target.ts'
import { HostSink } from './tree/host-sink.ts'
import { hostStaging } from './tree/host-staging.ts'
import { localTree } from './tree/local-tree.ts'
import { filterOf, makeAlike } from './tree/make-alike.ts'
import type { TwoTrees } from './tree/make-alike.ts'
import { remoteTree } from './tree/remote-tree.ts'
import { summed } from './tree/progress.ts'
import { treeStopped } from './tree/tree-request.ts'
import type { TreeRequest } from './tree/tree-request.ts'

/**
 * Makes a directory of the host like one here: what differs is sent, every file as `upload` sends one (verified, and either
 * the old or the new one at every moment); what is the same by size and time, or with `checksum` by content, is left alone.
 * Files get the times of their source, because they are told by them. Symbolic links stay links and are not followed.
 * What fails by itself is in the request's tally, and the rest goes on. Rejects with `LOCAL_NOT_FOUND`, `USAGE` (not a
 * directory), `REMOTE_NOT_FOUND` (the directory to hold it), and with what stops everything, as `upload` does.
 */
export async function uploadTree(access: TransferAccess, request: TreeRequest): Promise<void> {
  const localRoot = pathBytes(resolve(request.localPath), 'local path')
  const filter = filterOf(request)
  const sftp = await openSftp(access, request.signal)
  try {
    const remoteRoot = await rootOf(remoteSide(sftp), pathBytes(request.remotePath, 'remote path'))
    const [source, target] = [localTree(localRoot), remoteTree(sftp, remoteRoot)]
    const onMoved = summed(request)
    const sinkOf: TwoTrees['sinkOf'] = (tools, staging) => new HostSink({ access, sftp, tools, localRoot, remoteRoot, staging, options: request, onMoved })
    await makeAlike({ access, source, target, root: remoteRoot, stagingEnd: hostStaging(sftp), missing: () => missingHere(localRoot), sinkOf }, filter, request)
  } catch (error) {
    throw treeStopped(error, request)
  } finally {
    sftp.end()
  }
}

function missingHere(root: Buffer): ReturnType<typeof remexError> {
  return remexError('LOCAL_NOT_FOUND', `the local directory ${showPath(root)} is not there`)
}
