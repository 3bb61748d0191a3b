import { resolve } from 'node:path'
import { remexError } from '../core/errors.ts'
import type { TransferAccess } from './access.ts'
import { openSftp } from './open-sftp.ts'
import { baseName, directoryName, joinPath, pathBytes, showPath } from './path-name.ts'
import { missingDirectory, remoteSide } from './remote-side.ts'
import type { SftpClient } from './sftp/client.ts'
import { HostSink } from './tree/host-sink.ts'
import { hostStaging } from './tree/host-staging.ts'
import { localTree } from './tree/local-tree.ts'
import { filterOf, makeAlike } from './tree/make-alike.ts'
import type { TwoTrees } from './tree/make-alike.ts'
import { remoteTree } from './tree/remote-tree.ts'
import { summed } from './tree/progress.ts'
import { treeStopped } from './tree/tree-request.ts'
import type { TreeReceipt, TreeRequest } from './tree/tree-request.ts'

/**
 * Makes a directory of the host like one here: what differs is sent, every file as `upload` sends one (verified, and either
 * the old or the new one at every moment); what is the same by size and time, or with `checksum` by content, is left alone.
 * Files get the times of their source, because they are told by them. Symbolic links stay links and are not followed.
 * What fails by itself is in the request's tally, and the rest goes on. Rejects with `LOCAL_NOT_FOUND`, `USAGE` (not a
 * directory), `REMOTE_NOT_FOUND` (the directory to hold it), and with what stops everything, as `upload` does.
 */
export async function uploadTree(access: TransferAccess, request: TreeRequest): Promise<TreeReceipt> {
  const localRoot = pathBytes(resolve(request.localPath), 'local path')
  const filter = filterOf(request)
  const sftp = await openSftp(access, request.signal)
  try {
    const remoteRoot = await rootThere(sftp, pathBytes(request.remotePath, 'remote path'))
    const [source, target] = [localTree(localRoot), remoteTree(sftp, remoteRoot)]
    const onMoved = summed(request)
    const sinkOf: TwoTrees['sinkOf'] = (tools, staging) => new HostSink({ access, sftp, tools, localRoot, remoteRoot, staging, options: request, onMoved })
    await makeAlike({ access, source, target, root: remoteRoot, stagingEnd: hostStaging(sftp), missing: () => missingHere(localRoot), sinkOf }, filter, request)
    return { vmId: access.vmId, direction: 'upload', local: localRoot.toString(), remote: remoteRoot.toString() }
  } catch (error) {
    throw treeStopped(error, request)
  } finally {
    sftp.end()
  }
}

/** The absolute path of the directory that is or will be at `wanted`. */
async function rootThere(sftp: SftpClient, wanted: Buffer): Promise<Buffer> {
  const side = remoteSide(sftp)
  // Two questions at once: a server that takes one at a time is found out before names are asked for, which cannot be asked for again.
  const [there] = await Promise.all([side.stat(wanted), sftp.lstat(wanted).catch(() => undefined)])
  if (there !== null) return side.realpath(wanted)
  const name = baseName(wanted)
  if (name === undefined) throw missingDirectory(sftp, wanted)
  return joinPath(await side.realpath(directoryName(wanted)), name)
}

function missingHere(root: Buffer): ReturnType<typeof remexError> {
  return remexError('LOCAL_NOT_FOUND', `the local directory ${showPath(root)} is not there`)
}
