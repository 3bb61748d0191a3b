import type { RemexError } from '../../core/errors.ts'
import type { TransferAccess } from '../access.ts'
import { findHostTools } from '../batch/host-tools.ts'
import type { HostTools } from '../batch/host-tools.ts'
import { holdingMark, isPartialName } from '../partials.ts'
import { joinPath } from '../path-name.ts'
import { compareTrees } from './compare.ts'
import { makeFilter } from './filter.ts'
import type { TreeFilter } from './filter.ts'
import type { RootedTree } from './listing.ts'
import { moveTree } from './move-tree.ts'
import { StagingPlace } from './staging.ts'
import type { StagingEnd } from './staging.ts'
import type { TreeRequest } from './tree-request.ts'
import type { TreeSink } from './tree-sink.ts'

/** Two trees, of which the target is to be made like the source. */
export interface TwoTrees {
  readonly access: TransferAccess
  readonly source: RootedTree
  readonly target: RootedTree
  /** Absolute, of the target. */
  readonly root: Buffer
  /** How a directory is made beside the target's files. */
  readonly stagingEnd: StagingEnd
  /** Makes the error for a source that is not there. */
  readonly missing: () => RemexError
  readonly sinkOf: (tools: () => Promise<HostTools | null>, staging: StagingPlace) => TreeSink
}

/** What is to be moved. Throws `USAGE` for a pattern that cannot be read. */
export function filterOf({ rules = [] }: TreeRequest): TreeFilter {
  const filter = makeFilter(rules)
  return (path, isDirectory) => !isPartialName(path) && filter(path, isDirectory)
}

/** Compares two trees and makes the target like the source, or tells what would be done. Rejects with what stops everything. */
export async function makeAlike(trees: TwoTrees, filter: TreeFilter, request: TreeRequest): Promise<void> {
  const { access, source, target, root, missing } = trees
  const { onPlan, partials, manifest, tally, preserve = false, signal, beside = 1 } = request
  const steps = compareTrees(source, target, { filter, delete: request.delete === true, checksum: request.checksum === true, signal, missing })
  if (onPlan !== undefined) {
    for await (const step of steps) onPlan(step)
    return
  }
  let found: Promise<HostTools | null> | undefined
  const tools = (): Promise<HostTools | null> => (found ??= findHostTools(access, signal))
  await holdingMark(partials, [access.vmId, 'tree', source.prefix, root], ({ suffix }) => {
    const staging = new StagingPlace(joinPath(root, Buffer.from(suffix)), trees.stagingEnd)
    return moveTree({ steps, manifest, tally, preserve, signal, beside, sink: trees.sinkOf(tools, staging) })
  })
}
