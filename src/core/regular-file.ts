import { constants, type Stats } from 'node:fs'
import { open } from 'node:fs/promises'
import { errorCode, systemReason } from './atomic-file.ts'
import { readBounded } from './bounded-read.ts'

/** What became of reading a file. `denied` and `unusable` say why in words, without the path. */
export type FileReading =
  | { readonly kind: 'read'; readonly data: Buffer; readonly stats: Stats }
  | { readonly kind: 'missing' }
  | { readonly kind: 'denied'; readonly reason: string }
  | { readonly kind: 'unusable'; readonly reason: string }

/**
 * The bytes of the regular file at `path` (symbolic links are followed, unless it is said otherwise), at most `maxBytes` of them; more make it unusable.
 * Stats and data are of the same open file, so what was checked is what was read. A FIFO or device is never waited for.
 * `accept` may refuse the file by its stats, with the reason, before anything of it is read.
 */
export async function readRegularFile(
  path: string,
  maxBytes: number,
  accept: (stats: Stats) => string | undefined = () => undefined,
  { followsLinks = true }: { readonly followsLinks?: boolean } = {},
): Promise<FileReading> {
  try {
    // Without O_NONBLOCK, opening a FIFO waits until somebody writes to it.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | (followsLinks ? 0 : constants.O_NOFOLLOW))
    try {
      const stats = await file.stat()
      const reason = stats.isFile() ? accept(stats) : 'it is not a regular file'
      if (reason !== undefined) return { kind: 'unusable', reason }
      const data = await readBounded(file, maxBytes)
      return data ? { kind: 'read', data, stats } : { kind: 'unusable', reason: `it is larger than ${maxBytes / 1024} KiB` }
    } finally {
      await file.close()
    }
  } catch (error) {
    if (!followsLinks && errorCode(error) === 'ELOOP') return { kind: 'unusable', reason: 'it is a symbolic link' }
    return failure(error)
  }
}

function failure(error: unknown): FileReading {
  const code = errorCode(error)
  if (code === 'ENOENT') return { kind: 'missing' }
  const reason = systemReason(error)
  return { kind: code === 'EACCES' || code === 'EPERM' ? 'denied' : 'unusable', reason }
}
