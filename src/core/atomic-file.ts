import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, readlink, realpath, rename, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { RemexError, remexError, type ErrorCode } from './errors.ts'
import { printable } from './printable.ts'
import { quoteWord } from './quote.ts'

/** The number of links the kernel follows before it says ELOOP. */
const MAX_LINKS = 40

const CODES: Record<string, ErrorCode> = {
  ENOENT: 'LOCAL_NOT_FOUND',
  ENOTDIR: 'LOCAL_NOT_FOUND',
  EISDIR: 'USAGE',
  EACCES: 'PERMISSION_DENIED',
  EPERM: 'PERMISSION_DENIED',
  EROFS: 'PERMISSION_DENIED',
  ENOSPC: 'NO_SPACE',
  EDQUOT: 'NO_SPACE',
  EFBIG: 'NO_SPACE',
}

/**
 * Replaces the file at `path` by `data` as one step: whoever reads it, and whoever comes after a crash, finds the old
 * file or the new one, whole. A symbolic link stays and its target is replaced. The directory must be there.
 * `mode` is the final mode, whatever the umask. Default: 0600. With `followsLinks: false` a link is replaced itself. The owner of a file that is replaced is kept where the system permits.
 * Throws `LOCAL_NOT_FOUND`, `PERMISSION_DENIED` or `NO_SPACE`, and `USAGE` for what is there and is no regular file;
 * the old file is then untouched.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  { mode = 0o600, followsLinks = true }: { readonly mode?: number; readonly followsLinks?: boolean } = {},
): Promise<void> {
  try {
    const target = followsLinks ? await followLinks(path) : path
    const old = followsLinks ? await regularFileOrNothing(target) : undefined
    await replace(target, (file) => fill(file, { data, mode, old }))
  } catch (error) {
    throw localFileError(error, path)
  }
}

/** The file that `path` ends at when its symbolic links are followed; it need not exist. Rejects with the system's error. */
export async function followLinks(path: string): Promise<string> {
  let current = path
  for (let hops = 0; hops <= MAX_LINKS; hops++) {
    const link = await linkText(current)
    if (link === undefined) return current
    current = link.startsWith('/') ? link : `${await realpath(dirname(current))}/${link}`
  }
  throw Object.assign(new Error(`too many symbolic links at ${path}`), { code: 'ELOOP' })
}

async function linkText(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    // EINVAL: it is there and no link.
    if (['EINVAL', 'ENOENT'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

async function regularFileOrNothing(path: string): Promise<Stats | undefined> {
  const stats = await lstat(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
  // A rename would replace a device such as /dev/null by a file, for everyone.
  if (stats && !stats.isFile()) throw remexError('USAGE', `${printable(path)} is not a regular file, so it is not replaced`)
  return stats
}

async function replace(target: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  // Not made of the target's name, which may already be as long as names can be.
  const temporary = `${dirname(target)}/.remex-${randomBytes(8).toString('hex')}.tmp`
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  try {
    try {
      await write(file)
    } finally {
      await file.close()
    }
    await rename(temporary, target)
  } catch (error) {
    await unlink(temporary).catch(() => {})
    throw error
  }
  await syncDirectory(dirname(target))
}

async function fill(file: FileHandle, what: { data: string | Uint8Array; mode: number; old: Stats | undefined }): Promise<void> {
  await file.writeFile(what.data)
  if (what.old) await keepOwner(file, what.old)
  await file.chmod(what.mode)
  await file.sync()
}

/** Only root may give a file away, and a group only to its members; for anyone else the new file is their own, as with an editor. */
async function keepOwner(file: FileHandle, old: Stats): Promise<void> {
  const { uid, gid } = await file.stat()
  if (old.uid !== uid || old.gid !== gid) await file.chown(old.uid, old.gid).catch(() => {})
}

/**
 * Makes the names in the directory `path` durable: files that were made there, or renamed. Where a directory cannot be
 * opened or synced, the file system decides when they are. Rejects with the system's error.
 */
export async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  } catch (error) {
    if (!['EACCES', 'EINVAL', 'ENOTSUP'].includes(errorCode(error) ?? '')) throw error
  }
}

/**
 * Makes the directory `path`, and those above it that are missing, with mode 0700. One that exists keeps its mode, for
 * it may be shared on purpose; but where everyone can write and replace what is in it, it is refused.
 * Throws `PERMISSION_DENIED` for that, for a file in its place, and where it cannot be made; `NO_SPACE`; `LOCAL_NOT_FOUND`.
 */
export async function ensurePrivateDir(path: string): Promise<void> {
  try {
    await makeDirectories(path, 0o700)
  } catch (error) {
    if (!['EEXIST', 'ENOTDIR'].includes(errorCode(error) ?? '')) throw localFileError(error, path)
    throw remexError('PERMISSION_DENIED', `${printable(path)} cannot be a directory: a file is in its place`, {
      hint: 'Move the file away, or name another directory.',
      cause: error,
    })
  }
  await refuseOpenDirectory(path)
}

/**
 * Makes the directory `path`, and those above it that are missing, with `mode` less the umask. Rejects as mkdir(2) does.
 * Not by mkdir's own `recursive`: in Node 20 that never comes back where a parent is there and takes no entries, as in /proc.
 */
export async function makeDirectories(path: string, mode: number): Promise<void> {
  const error = await mkdirError(path, mode)
  const parent = dirname(path)
  if (error === undefined) return
  if (errorCode(error) !== 'ENOENT' || parent === path) throw error
  await makeDirectories(parent, mode)
  // The parent is there now: what still says that it is not takes no entries.
  const last = await mkdirError(path, mode)
  if (last !== undefined) throw last
}

/** Undefined where the directory was made or is there, perhaps by another process a moment ago. */
async function mkdirError(path: string, mode: number): Promise<Error | undefined> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    if (errorCode(error) === 'EEXIST' && (await stat(path)).isDirectory()) return undefined
    return error instanceof Error ? error : new Error(String(error))
  }
}

async function refuseOpenDirectory(path: string): Promise<void> {
  const { mode } = await stat(path).catch((error: unknown) => {
    throw localFileError(error, path)
  })
  const everyoneCanReplace = (mode & 0o002) !== 0 && (mode & 0o1000) === 0
  if (!everyoneCanReplace) return
  const message = `${printable(path)} can be written by everyone (mode ${octal(mode)}), so nothing in it can be trusted`
  throw remexError('PERMISSION_DENIED', message, { hint: `chmod 700 ${printable(quoteWord(path))}` })
}

/** The permission bits of `mode` as `chmod` takes them: `0644`. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}

/**
 * The error that `error` of a local file operation is: `LOCAL_NOT_FOUND`, `PERMISSION_DENIED` or `NO_SPACE` with `path` in
 * the message, else `INTERNAL`. One that is ours already is returned as it is.
 */
export function localFileError(error: unknown, path: string): RemexError {
  if (error instanceof RemexError) return error
  return remexError(CODES[errorCode(error) ?? ''] ?? 'INTERNAL', `${printable(path)}: ${systemReason(error)}`, { cause: error })
}

/** What the system says of `error` in words (`no such file or directory`), without the call and the path that failed. */
export function systemReason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return printable(/^E[A-Z0-9]+: (.+?), [a-z]+(?: '|$)/.exec(text)?.[1] ?? text)
}

/** The system's code of `error` (`ENOENT`); undefined where it has none. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
