import { remexError } from '../../core/errors.ts'
import type { RemexError } from '../../core/errors.ts'
import { joinPath, showPath } from '../path-name.ts'
import type { TreeEntry, TreeSide } from './entry.ts'

/** One end of a tree that can also tell what its root is. */
export interface RootedTree extends TreeSide {
  /**
   * The directory at the root, symbolic links followed: the one place of a tree where they are. Its name is empty; null
   * where nothing is. Rejects with `USAGE` for what is not a directory, `PERMISSION_DENIED` or `TRANSFER_FAILED`.
   */
  root(): Promise<TreeEntry | null>
}

/** The name that {@link RootedTree.root} gives: none. */
export const NO_NAME = Buffer.alloc(0)

/** `name` in `directory`, both relative to the root of the tree; the root itself is empty. */
export function childPath(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : joinPath(directory, name)
}

/** Where `path`, which is relative to `root`, is. */
export function placeIn(root: Buffer, path: Buffer): Buffer {
  return path.length === 0 ? root : joinPath(root, path)
}

/** `entries` in the order of `compareNames`. Strings of one byte a character are compared several times faster than buffers. */
export function inOrder(entries: readonly TreeEntry[]): TreeEntry[] {
  const keyed = entries.map((entry) => ({ entry, key: entry.name.toString('latin1') + (entry.kind === 'directory' ? '/' : '') }))
  keyed.sort((a, b) => (a.key < b.key ? -1 : 1))
  return keyed.map(({ entry }) => entry)
}

/** The error for a root that is not a directory; `whose` stands before its path (`the local `, `vm01: `). */
export function rootIsNoDirectory(whose: string, root: Buffer): RemexError {
  return remexError('USAGE', `${whose}${showPath(root)} is not a directory`, { hint: 'Name a directory; one file is sent by itself.' })
}
