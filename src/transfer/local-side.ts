import { chmod, lstat, realpath, stat, utimes } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { RemexError, remexError } from '../core/errors.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { FileTimes } from './local-temporary.ts'
import { showPath } from './path-name.ts'
import type { FileKind } from './sftp/attributes.ts'
import type { Entry, Side } from './target.ts'

/** This machine's end, for finding the target of a download. */
export const localSide: Side = {
  prefix: '',
  stat: (path) => entryOrNull(stat(path), path),
  lstat: (path) => entryOrNull(lstat(path), path),
  realpath: async (path) => {
    try {
      return await realpath(path, 'buffer')
    } catch (error) {
      throw isMissing(error) ? localSide.missing(path) : localError(error, 'resolve', path)
    }
  },
  missing: (directory) =>
    remexError('LOCAL_NOT_FOUND', `the local directory ${showPath(directory)} is not there`, {
      hint: 'Make it first; directories are not made for you.',
    }),
}

const CODES = new Map<string, ErrorCode>([
  ['ENOENT', 'LOCAL_NOT_FOUND'],
  ['ENOTDIR', 'LOCAL_NOT_FOUND'],
  ['EACCES', 'PERMISSION_DENIED'],
  ['EPERM', 'PERMISSION_DENIED'],
  ['EROFS', 'PERMISSION_DENIED'],
  ['ENOSPC', 'NO_SPACE'],
  ['EDQUOT', 'NO_SPACE'],
])

/**
 * The one place where an error of the local file system becomes ours: `LOCAL_NOT_FOUND`, `PERMISSION_DENIED`, `NO_SPACE`,
 * else `TRANSFER_FAILED`. One that is ours already stays as it is.
 */
export function localError(error: unknown, action: string, path: Buffer): unknown {
  const systemCode = codeOf(error)
  if (error instanceof RemexError || systemCode === undefined) return error
  const what = `cannot ${action} the local ${showPath(path)}: ${reasonOf(error)}`
  return remexError(CODES.get(systemCode) ?? 'TRANSFER_FAILED', what, { cause: error })
}

/** Sets permission bits, and times in seconds since 1970, of a file whose content stays. */
export async function setLocalAttributes(path: Buffer, mode: number, times: FileTimes | undefined): Promise<void> {
  try {
    await chmod(path, mode)
    if (times !== undefined) await utimes(path, times.atime, times.mtime)
  } catch (error) {
    throw localError(error, 'set the attributes of', path)
  }
}

/** The kind of a local file. */
export function localKind(stats: Pick<Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): FileKind {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'other'
}

/** The system's code of an error (`ENOENT`); undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Node's own words without the path, which they quote as it is: `ENOENT: no such file or directory`. */
function reasonOf(error: unknown): string {
  const [reason = 'failed'] = (error instanceof Error ? error.message : '').split(',')
  return reason
}

function isMissing(error: unknown): boolean {
  return CODES.get(codeOf(error) ?? '') === 'LOCAL_NOT_FOUND'
}

async function entryOrNull(asked: Promise<Stats>, path: Buffer): Promise<Entry | null> {
  try {
    const stats = await asked
    return { kind: localKind(stats), mode: stats.mode, sizeBytes: stats.size }
  } catch (error) {
    if (isMissing(error)) return null
    throw localError(error, 'look at', path)
  }
}
