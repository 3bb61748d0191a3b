import { resolve } from 'node:path'
import { remexError } from '../core/errors.ts'
import type { TransferAccess } from './access.ts'
import { localSide } from './local-side.ts'
import { openSftp } from './open-sftp.ts'
import { pathBytes, showPath } from './path-name.ts'
import { remoteSide } from './remote-side.ts'
import { rootOf } from './target.ts'
import { localTree } from './tree/local-tree.ts'
import { localStaging, LocalSink } from './tree/local-sink.ts'
import { filterOf, makeAlike } from './tree/make-alike.ts'
import type { TwoTrees } from './tree/make-alike.ts'
import { remoteTree } from './tree/remote-tree.ts'
import { summed } from './tree/progress.ts'
import { treeStopped } from './tree/tree-request.ts'
import type { TreeRequest } from './tree/tree-request.ts'

/**
 * Makes a directory here like one on the host, as `uploadTree` does the other way: names that a host makes up cannot lead out
 * of the tree. Rejects with `REMOTE_NOT_FOUND`, `USAGE` (not a directory), `LOCAL_NOT_FOUND` (the directory to hold it), and
 * with what stops everything, as `download` does.
 */
export async function downloadTree(access: TransferAccess, request: TreeRequest): Promise<void> {
  const wanted = pathBytes(request.remotePath, 'remote path')
  const filter = filterOf(request)
  const localRoot = await rootOf(localSide, pathBytes(resolve(request.localPath), 'local path'))
  const sftp = await openSftp(access, request.signal)
  try {
    const missing = (): ReturnType<typeof remexError> => remexError('REMOTE_NOT_FOUND', `${access.vmId}: the directory ${showPath(wanted)} is not there`, { vmId: access.vmId })
    const side = remoteSide(sftp)
    // Two questions at once: as in rootOf.
    const [there] = await Promise.all([side.stat(wanted), side.lstat(wanted)])
    if (there === null) throw missing()
    const remoteRoot = await side.realpath(wanted)
    const [source, target] = [remoteTree(sftp, remoteRoot), localTree(localRoot)]
    const onMoved = summed(request)
    const sinkOf: TwoTrees['sinkOf'] = (tools, staging) => new LocalSink({ access, sftp, tools, localRoot, remoteRoot, staging, options: request, onMoved })
    await makeAlike({ access, source, target, root: localRoot, stagingEnd: localStaging, missing, sinkOf }, filter, request)
  } catch (error) {
    throw treeStopped(error, request)
  } finally {
    sftp.end()
  }
}
