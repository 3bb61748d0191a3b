import { RemexError, remexError } from '../../core/errors.ts'
import type { MoveOptions } from '../receipt.ts'
import type { Step } from './entry.ts'
import type { FilterRule } from './filter.ts'
import type { Manifest } from './manifest.ts'
import type { TreeTally } from './move-tree.ts'

/** A tree to be made like another. */
export interface TreeRequest extends MoveOptions {
  readonly localPath: string
  readonly remotePath: string
  /** Removes what is at the target only, if everything else went well. Default: false. */
  readonly delete?: boolean | undefined
  /** What belongs to the tree; the first rule that matches decides. Default: everything. */
  readonly rules?: readonly FilterRule[] | undefined
  /** Gets the receipts, over all attempts. */
  readonly manifest: Manifest
  /** Counts what is not a file that was moved. */
  readonly tally: TreeTally
  /** Is told what would be done, in place of doing it. */
  readonly onPlan?: ((step: Step) => void) | undefined
}

/** What stopped a tree, with the words how far it came. Code and details stay. */
export function treeStopped(error: unknown, { manifest }: TreeRequest): unknown {
  if (!(error instanceof RemexError) || manifest.size === 0) return error
  const { code, message, vmId, mayHaveRun, result } = error
  const hint = 'Repeat the same command: what is in place is not moved again.'
  return remexError(code, `${message}; ${manifest.size} files are in place`, { hint, vmId, mayHaveRun, result, cause: error })
}

/** The error of a tree of which some failed and the rest went well; null where nothing failed. */
export function treeFailure(vmId: string, { failed, failures }: TreeTally): RemexError | null {
  const [first] = failures
  if (first === undefined) return null
  const { code, message, hint } = first.error
  const what = failed === 1 ? `${vmId}: of the tree, 1 failed` : `${vmId}: of the tree, ${failed} failed, the first`
  return remexError(code, `${what}: ${first.path}: ${message}`, { vmId, hint, cause: first.error })
}
