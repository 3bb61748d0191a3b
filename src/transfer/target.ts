import { remexError } from '../core/errors.ts'
import type { RemexError } from '../core/errors.ts'
import { baseName, directoryName, endsInSlash, joinPath, showPath } from './path-name.ts'
import type { FileKind } from './sftp/attributes.ts'

/** What is at a path. */
export interface Entry {
  readonly kind: FileKind
  /** `st_mode`, where it is known. */
  readonly mode: number | undefined
  readonly sizeBytes: number | undefined
}

/** One end of a transfer, as far as finding the target goes. */
export interface Side {
  /** For messages: the host's id and a colon, or nothing for this machine. */
  readonly prefix: string
  /** What is at `path`, symbolic links followed; null where nothing is. */
  stat(path: Buffer): Promise<Entry | null>
  /** What is at `path` itself; null where nothing is. */
  lstat(path: Buffer): Promise<Entry | null>
  /** The absolute form of `path` without symbolic links. */
  realpath(path: Buffer): Promise<Buffer>
  /** The error for a `directory` that is not there. */
  missing(directory: Buffer): RemexError
}

/** Where a file is to go. */
export interface Target {
  /** Absolute, symbolic links resolved: replacing it leaves a link to it in place. */
  readonly path: Buffer
  readonly directory: Buffer
  readonly name: Buffer
  /** What is there now; null where nothing is. */
  readonly existing: Entry | null
}

/**
 * Where a file called `sourceName` goes when a user says `wanted`: as with cp, into it where it is a directory, and to what
 * a symbolic link points at. Rejects with `REMOTE_NOT_FOUND` or `LOCAL_NOT_FOUND` for a directory that is not there,
 * `TRANSFER_FAILED` for what a file must not replace (a directory, device, pipe, or a link to nothing), `USAGE` when a name is missing.
 */
export async function findTarget(side: Side, wanted: Buffer, sourceName: Buffer | undefined): Promise<Target> {
  // Asked for at once though only one of them is needed: over a long way a question costs nothing beside another.
  const resolving = endsInSlash(wanted) ? undefined : resolveNew(side, wanted)
  resolving?.catch(() => undefined)
  const entry = await look(side, wanted)
  if (entry?.kind !== 'directory') {
    if (endsInSlash(wanted)) throw side.missing(wanted)
    return settle(side, wanted, { existing: entry, resolving })
  }
  if (sourceName === undefined) {
    throw remexError('USAGE', `${side.prefix}${showPath(wanted)} is a directory, and the source has no file name to put into it`)
  }
  const inside = joinPath(wanted, sourceName)
  return settle(side, inside, { existing: await look(side, inside), resolving: undefined })
}

/** What is at `path`; a link to nothing counts as the link. */
async function look(side: Side, path: Buffer): Promise<Entry | null> {
  const [followed, itself] = await Promise.all([side.stat(path), side.lstat(path)])
  return followed ?? itself
}

async function settle(side: Side, path: Buffer, { existing, resolving }: { existing: Entry | null; resolving: Promise<Buffer> | undefined }): Promise<Target> {
  const obstacle = existing === null ? undefined : OBSTACLES.get(existing.kind)
  if (obstacle !== undefined) {
    throw remexError('TRANSFER_FAILED', `${side.prefix}${showPath(path)} is ${obstacle}`, {
      hint: 'Name a regular file, or one that is not there yet.',
    })
  }
  const resolved = existing === null ? await (resolving ?? resolveNew(side, path)) : await side.realpath(path)
  const name = baseName(resolved)
  if (name === undefined) throw side.missing(path)
  return { path: resolved, directory: directoryName(resolved), name, existing }
}

const OBSTACLES = new Map<FileKind, string>([
  ['directory', 'a directory'],
  ['symlink', 'a symbolic link to nothing'],
  ['other', 'not a regular file'],
])

async function resolveNew(side: Side, path: Buffer): Promise<Buffer> {
  const name = baseName(path)
  const directory = directoryName(path)
  if (name === undefined) throw side.missing(path)
  const [entry, resolved] = await Promise.all([side.stat(directory), side.realpath(directory)])
  if (entry?.kind !== 'directory' && entry?.kind !== 'unknown') throw side.missing(directory)
  return joinPath(resolved, name)
}

/**
 * The absolute path of the directory that is or will be at `wanted`. Rejects with `REMOTE_NOT_FOUND` or `LOCAL_NOT_FOUND` where
 * the directory to hold it is not there.
 */
export async function rootOf(side: Side, wanted: Buffer): Promise<Buffer> {
  // Two questions at once: a server that takes one at a time is found out before names are asked for, which cannot be asked for again.
  const [there] = await Promise.all([side.stat(wanted), side.lstat(wanted)])
  return there === null ? resolveNew(side, wanted) : side.realpath(wanted)
}

/** The target at `path` itself, absolute and with no symbolic link in it, where `existing` is known to be. */
export function targetOf(path: Buffer, existing: Entry | null): Target {
  return { path, directory: directoryName(path), name: baseName(path) ?? path, existing }
}
