import { stat } from 'node:fs/promises'
import { localFileError } from '../core/atomic-file.ts'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** The size in bytes of the local file at `path`, before anything is sent. Throws `LOCAL_NOT_FOUND`, `PERMISSION_DENIED`, and `USAGE` for a directory. */
export async function requireLocalFile(path: string): Promise<number> {
  const stats = await stat(path).catch((error: unknown) => {
    throw localFileError(error, path)
  })
  if (stats.isDirectory()) throw remexError('USAGE', `${printable(path)} is a directory`, { hint: 'A whole tree is sent with --recursive.' })
  return stats.size
}

/** That there is a local directory at `path`, before anything is asked of a host. Throws `LOCAL_NOT_FOUND`, and `USAGE` for what is none. */
export async function requireLocalDirectory(path: string): Promise<void> {
  const stats = await stat(path).catch((error: unknown) => {
    throw localFileError(error, path)
  })
  if (!stats.isDirectory()) throw remexError('USAGE', `${printable(path)} is not a directory`, { hint: 'A file is sent without --recursive.' })
}
