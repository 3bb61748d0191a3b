import type { RemexError } from '../../core/errors.ts'
import type { FileKind } from '../sftp/attributes.ts'

/** What lies at one name of a directory; symbolic links are not followed. */
export interface TreeEntry {
  /** The bytes of one component: never empty, `.`, `..`, and never with a slash or a NUL. */
  readonly name: Buffer
  readonly kind: FileKind
  readonly sizeBytes: number
  /** Whole seconds since 1970: SFTP version 3 tells no more. */
  readonly mtime: number
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number
}

/** One end of a tree. Paths are relative to its root, without a slash at either end; empty for the root itself. */
export interface TreeSide {
  /** For messages: the host's id and a colon, or nothing for this machine. */
  readonly prefix: string
  /**
   * What is in a directory, in the order of {@link compareNames}; null where nothing is. Rejects with `PERMISSION_DENIED`,
   * and with `TRANSFER_FAILED` for a list that cannot be true (a name with a slash, a name twice, a list without an end).
   */
  list(directory: Buffer): Promise<readonly TreeEntry[] | null>
  /** What the symbolic link at `path` says. */
  readlink(path: Buffer): Promise<Buffer>
}

/** One thing to be done to make the target like the source, or to be told. `path` is relative to both roots. */
export type Step =
  /** A directory of the source, before what is in it. It is to be made where `existing` is null. */
  | { readonly kind: 'directory'; readonly path: Buffer; readonly entry: TreeEntry; readonly existing: TreeEntry | null }
  /** The end of a directory: everything in it was told. */
  | { readonly kind: 'leave'; readonly path: Buffer; readonly entry: TreeEntry }
  /** A file that may differ; `existing` is the file at the target, null where there is none. */
  | { readonly kind: 'file'; readonly path: Buffer; readonly entry: TreeEntry; readonly existing: TreeEntry | null }
  /** A symbolic link that is to say `points` at the target; `existing` is a link that says something else, or null. */
  | { readonly kind: 'link'; readonly path: Buffer; readonly entry: TreeEntry; readonly existing: TreeEntry | null; readonly points: Buffer }
  /** A file or link that is the same already. */
  | { readonly kind: 'same'; readonly path: Buffer; readonly entry: TreeEntry; readonly existing: TreeEntry }
  /**
   * Something that is at the target only, or (`isInTheWay`) something of another kind, which must go before what takes its
   * place is made. What is in a directory comes before the directory.
   */
  | { readonly kind: 'extra'; readonly path: Buffer; readonly entry: TreeEntry; readonly isInTheWay: boolean }
  /** Something of the source that a transfer cannot carry: a device, a pipe, a socket. */
  | { readonly kind: 'skipped'; readonly path: Buffer; readonly entry: TreeEntry }
  /** Something that could not be read, or is in the way. The rest goes on. */
  | { readonly kind: 'failed'; readonly path: Buffer; readonly error: RemexError }
