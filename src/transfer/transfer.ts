import type { TransferAccess } from './access.ts'
import { download } from './download.ts'
import { downloadTree } from './download-tree.ts'
import type { MoveOptions, Receipt } from './receipt.ts'
import { treeFailure } from './tree/tree-request.ts'
import type { TreeRequest } from './tree/tree-request.ts'
import { upload } from './upload.ts'
import { uploadTree } from './upload-tree.ts'

/** A file or a tree, and where it is to go. */
export interface Transfer extends MoveOptions {
  readonly operation: 'upload' | 'download'
  /** Paths here and on the host. */
  readonly local: string
  readonly remote: string
  /** With it both are directories, of which the one is made like the other. */
  readonly tree?: Pick<TreeRequest, 'delete' | 'rules' | 'manifest' | 'tally' | 'onPlan'> | undefined
}

/**
 * Sends or fetches a file, or a tree; resolves with the receipt of a file, and with null for a tree, of which all is in
 * `tree`. Rejects as {@link upload}, {@link download}, {@link uploadTree} and {@link downloadTree} do, and with the failure of
 * a tree of which some could not be moved.
 */
export async function transfer(access: TransferAccess, { operation, local, remote, tree, ...options }: Transfer): Promise<Receipt | null> {
  const paths = { localPath: local, remotePath: remote }
  if (tree === undefined) return operation === 'upload' ? upload(access, { ...options, ...paths }) : download(access, { ...options, ...paths })
  const request = { ...options, ...paths, ...tree }
  await (operation === 'upload' ? uploadTree(access, request) : downloadTree(access, request))
  const failure = treeFailure(access.vmId, tree.tally)
  if (failure !== null) throw failure
  return null
}
