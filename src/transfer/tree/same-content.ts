import type { TransferAccess } from '../access.ts'
import { hashBatch } from '../batch/hash-batch.ts'
import type { HostTools } from '../batch/host-tools.ts'
import type { FileStep } from './tree-sink.ts'

/** The tree on the host, and how it is asked. */
export interface HashedTree {
  readonly access: TransferAccess
  readonly tools: HostTools
  /** Absolute. */
  readonly root: Buffer
  readonly signal: AbortSignal | undefined
}

/**
 * The places of the files that are the same at both ends, by the SHA-256 that the host says and the one that `ours` has of the
 * file here (undefined: there is none). Only files of equal size are asked for.
 */
export async function sameOf(tree: HashedTree, files: readonly FileStep[], ours: (index: number) => string | undefined): Promise<ReadonlySet<number>> {
  const candidates = [...files.entries()].filter(([, { entry, existing }]) => existing?.sizeBytes === entry.sizeBytes)
  if (candidates.length === 0) return new Set()
  const theirs = await hashBatch(tree.access, tree.tools, { root: tree.root, paths: candidates.map(([, { path }]) => path), signal: tree.signal })
  return new Set(candidates.flatMap(([index], at) => (theirs[at] !== null && theirs[at] === ours(index) ? [index] : [])))
}
