import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { open, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, localFileError, syncDirectory } from '../core/atomic-file.ts'
import { readRegularFile } from '../core/regular-file.ts'

/** A file that anybody may have put there: its text, and who owns it by the word of the kernel. */
export type OwnedFile =
  | { readonly kind: 'read'; readonly text: string; readonly uid: number }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unusable'; readonly reason: string }

/** The most bytes that such a file may have. */
export const MOST_BYTES = 64 * 1024

/**
 * The text of a file that only its owner can have written: a regular one, of one name, which nobody else may write. Looked at through
 * the open file, so what was checked is what was read. A link is never followed and a FIFO never waited for.
 */
export async function readOwned(path: string): Promise<OwnedFile> {
  const reading = await readRegularFile(path, MOST_BYTES, whyNotItsOwn, { followsLinks: false })
  switch (reading.kind) {
    case 'read':
      return { kind: 'read', text: reading.data.toString('utf8'), uid: reading.stats.uid }
    case 'missing':
      return reading
    case 'denied':
    case 'unusable':
      return { kind: 'unusable', reason: reading.reason }
  }
}

function whyNotItsOwn({ nlink, mode }: Stats): string | undefined {
  // Another name could be anywhere, of a file that was written for something else.
  if (nlink !== 1) return `it has ${nlink} names (hard links)`
  return (mode & 0o022) === 0 ? undefined : 'others than its owner can write it'
}

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/**
 * Puts a file of ours there in one step, whole and on disk, that everybody may read who may look into the directory.
 * What has the name is replaced, a symbolic link too; in a directory with the sticky bit only what is our own.
 * Rejects with `PERMISSION_DENIED`, `NO_SPACE` or `LOCAL_NOT_FOUND`.
 */
export async function placeOwned(directory: string, name: string, text: string): Promise<void> {
  const path = join(directory, name)
  const temporary = join(directory, `${name}.${randomBytes(8).toString('hex')}.tmp`)
  try {
    const file = await open(temporary, NEW_FILE, 0o600)
    try {
      await file.writeFile(text)
      await file.chmod(0o644)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncDirectory(directory)
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw localFileError(error, path)
  }
}

/** Makes a file that nobody else made before, and puts it on disk; whether it was us. Rejects as {@link placeOwned} does. */
export async function claimOwned(directory: string, name: string): Promise<boolean> {
  const path = join(directory, name)
  try {
    const file = await open(path, NEW_FILE, 0o600)
    await file.close()
    await syncDirectory(directory)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw localFileError(error, path)
  }
}
