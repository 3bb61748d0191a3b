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

/** Entries of one directory as they come, and then in order. */
export class Listing {
  readonly #keyed: { readonly key: string; readonly entry: TreeEntry }[] = []

  /** Adds `entry`, whose name is `latin1`: strings of one byte a character are compared several times faster than buffers. */
  add(latin1: string, entry: TreeEntry): void {
    this.#keyed.push({ key: entry.kind === 'directory' ? `${latin1}/` : latin1, entry })
  }

  /** All entries, in the order of `compareNames`. */
  inOrder(): TreeEntry[] {
    this.#keyed.sort((a, b) => (a.key < b.key ? -1 : 1))
    return this.#keyed.map(({ entry }) => entry)
  }
}

/** The error for a root that is not a directory; `whose` stands before its path (`the local `, `vm01: `). */
export function rootIsNoDirectory(whose: string, root: Buffer): RemexError {
  return remexError('USAGE', `${whose}${showPath(root)} is not a directory`, { hint: 'Name a directory; one file is sent by itself.' })
}
