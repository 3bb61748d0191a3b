import { constants, open, rename, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { SeekableSource } from './same-start.ts'
import { leftBehind } from './left-behind.ts'
import { codeOf, localError } from './local-side.ts'
import type { PartialMark } from './partials.ts'
import { joinPath, showPath, temporaryName } from './path-name.ts'
import type { Target } from './target.ts'

/** A local file that is not finished; it lies beside its target. */
export interface LocalTemporary extends SeekableSource {
  readonly sizeBytes: number
  /** Appends all of `chunk`. */
  append(chunk: Buffer): Promise<void>
  /** Cuts it off behind its first `sizeBytes`, where the next {@link append} goes on. */
  truncate(sizeBytes: number): Promise<void>
  /** Permission bits it has now. */
  mode(): Promise<number>
  /** Puts its content on disk. */
  sync(): Promise<void>
  /** Sets its mode, puts it on disk and renames it over the target, in one step for whoever looks. */
  replaceTarget(mode: number, times: FileTimes | undefined): Promise<void>
  /** Closes it and leaves it for a later transfer. */
  keep(): Promise<void>
  /** Removes it after `error`; resolves with that error, which then names the file where it could not be removed. */
  discardAfter(error: unknown): Promise<unknown>
}

/** Seconds since 1970. */
export interface FileTimes {
  readonly atime: number
  readonly mtime: number
}

/** How a {@link LocalTemporary} is opened. */
export interface LocalPlace {
  readonly target: Target
  /** Permission bits less the umask. */
  readonly mode: number
  readonly mark: PartialMark
  /** Whether what an earlier transfer left is opened with its content; else it is made anew. */
  readonly resume: boolean
}

/**
 * Opens a temporary file beside the target. Its methods and this reject with `NO_SPACE`, `PERMISSION_DENIED`,
 * `LOCAL_NOT_FOUND` (the directory has gone) or `TRANSFER_FAILED`.
 */
export async function openLocalTemporary({ target, mode, mark, resume }: LocalPlace): Promise<LocalTemporary> {
  const path = joinPath(target.directory, temporaryName(target.name, mark))
  const file = await openOwn(path, mode, { mark, resume }).catch((error: unknown) => {
    throw localError(error, 'create a file in', target.directory)
  })
  const { size } = await file.stat()
  let at = 0
  return {
    sizeBytes: size,
    seek: (offset) => void (at = offset),
    read: async (into) => {
      const { bytesRead } = await named('read', path, () => file.read(into, 0, into.length, at))
      at += bytesRead
      return bytesRead
    },
    append: (chunk) => named('write', path, async () => {
      await writeAll(file, chunk, at)
      at += chunk.length
    }),
    truncate: (sizeBytes) => named('cut', path, async () => {
      await file.truncate(sizeBytes)
      at = sizeBytes
    }),
    mode: () => named('look at', path, async () => (await file.stat()).mode & 0o7777),
    sync: () => named('put on disk', path, () => file.datasync()),
    replaceTarget: (finalMode, times) => replaceTarget({ file, path, target }, finalMode, times),
    keep: () => file.close(),
    discardAfter: (error) => discardAfter(error, file, path),
  }
}

/** The file of an earlier transfer where it is ours and wanted, else a new one. */
async function openOwn(path: Buffer, mode: number, { mark, resume }: Pick<LocalPlace, 'mark' | 'resume'>): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW
  if (mark.isStable && resume) {
    const old = await open(path, flags | constants.O_NONBLOCK).catch(() => undefined)
    const stats = await old?.stat()
    if (old !== undefined && stats?.isFile() && stats.uid === process.geteuid?.()) return old
    await old?.close()
  }
  if (mark.isStable) await unlink(path).catch(() => undefined)
  return open(path, flags | constants.O_CREAT | constants.O_EXCL, mode)
}

async function writeAll(file: FileHandle, chunk: Buffer, offset: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    written += (await file.write(chunk, written, chunk.length - written, offset + written)).bytesWritten
  }
}

interface Unfinished {
  readonly file: FileHandle
  readonly path: Buffer
  readonly target: Target
}

async function replaceTarget({ file, path, target }: Unfinished, mode: number, times: FileTimes | undefined): Promise<void> {
  await named('finish', path, async () => {
    await file.chmod(mode)
    if (times !== undefined) await file.utimes(times.atime, times.mtime)
    await file.sync()
    await file.close()
  })
  await named('replace', target.path, () => rename(path, target.path))
  await syncDirectory(target.directory)
}

/** Some file systems cannot put a directory on disk by itself, and one that is not readable cannot be opened for it. */
const CANNOT_SYNC = ['EINVAL', 'ENOTSUP', 'EACCES', 'EPERM', 'EISDIR']

async function syncDirectory(directory: Buffer): Promise<void> {
  try {
    const opened = await open(directory, constants.O_RDONLY)
    await opened.sync().finally(() => opened.close())
  } catch (error) {
    if (!CANNOT_SYNC.includes(codeOf(error) ?? '')) throw localError(error, 'put on disk', directory)
  }
}

async function discardAfter(error: unknown, file: FileHandle, path: Buffer): Promise<unknown> {
  try {
    await file.close().catch(() => undefined)
    await unlink(path)
    return error
  } catch (removal) {
    return codeOf(removal) === 'ENOENT' ? error : leftBehind(error, showPath(path))
  }
}

async function named<T>(action: string, path: Buffer, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw localError(error, action, path)
  }
}
