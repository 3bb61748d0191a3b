import { constants, open, rename, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { leftBehind } from './left-behind.ts'
import { codeOf, localError } from './local-side.ts'
import { joinPath, showPath, temporaryName } from './path-name.ts'
import type { Target } from './target.ts'

/** A local file that is not finished; it lies beside its target. */
export interface LocalTemporary {
  /** Appends all of `chunk`. */
  append(chunk: Buffer): Promise<void>
  /** Permission bits it has now. */
  mode(): Promise<number>
  /** Sets its mode, puts it on disk and renames it over the target, in one step for whoever looks. */
  replaceTarget(mode: number): Promise<void>
  /** Removes it after `error`; resolves with that error, which then names the file where it could not be removed. */
  discardAfter(error: unknown): Promise<unknown>
}

/**
 * Makes a temporary file beside `target`, with `mode` less the umask. Its methods and this reject with `NO_SPACE`,
 * `PERMISSION_DENIED`, `LOCAL_NOT_FOUND` (the directory has gone) or `TRANSFER_FAILED`.
 */
export async function createLocalTemporary(target: Target, mode: number): Promise<LocalTemporary> {
  const path = joinPath(target.directory, temporaryName(target.name))
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  const file = await open(path, flags, mode).catch((error: unknown) => {
    throw localError(error, 'create a file in', target.directory)
  })
  return {
    append: (chunk) => named('write', path, () => writeAll(file, chunk)),
    mode: () => named('look at', path, async () => (await file.stat()).mode & 0o7777),
    replaceTarget: (finalMode) => replaceTarget({ file, path, target }, finalMode),
    discardAfter: (error) => discardAfter(error, file, path),
  }
}

async function writeAll(file: FileHandle, chunk: Buffer): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    written += (await file.write(chunk, written, chunk.length - written, null)).bytesWritten
  }
}

async function replaceTarget({ file, path, target }: { file: FileHandle; path: Buffer; target: Target }, mode: number): Promise<void> {
  await named('finish', path, async () => {
    await file.chmod(mode)
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
