import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { PartialMark } from './partials.ts'

/** A file name as a caller gives it: text (UTF-8), or the bytes themselves where they are not text. */
export type PathName = string | Buffer

const SLASH = 0x2f
/** Keeps a temporary name under 255 bytes, and under the 143 that eCryptfs allows. */
const MAX_STEM_BYTES = 100

/** The bytes of `path`. Throws `USAGE` for an empty one or one with a NUL; `what` names it (`remote path`). */
export function pathBytes(path: PathName, what: string): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path) : path
  if (bytes.length === 0) throw remexError('USAGE', `the ${what} is empty`)
  if (bytes.includes(0)) throw remexError('USAGE', `the ${what} has a NUL character, which no file name can have`)
  return bytes
}

/** `path` for a message or a receipt field that a person reads. */
export function showPath(path: PathName): string {
  return printable(path.toString())
}

/** Whether `path` ends in a slash, and so can only mean a directory. */
export function endsInSlash(path: Buffer): boolean {
  return path[path.length - 1] === SLASH
}

/** The last component of `path`; undefined where there is none that could name a file (`/`, `.`, `..`). */
export function baseName(path: Buffer): Buffer | undefined {
  const trimmed = trimSlashes(path)
  const name = trimmed.subarray(trimmed.lastIndexOf(SLASH) + 1)
  return ['', '.', '..'].includes(name.toString('latin1')) ? undefined : name
}

/** The directory that holds the last component of `path`: `.` for a bare name. */
export function directoryName(path: Buffer): Buffer {
  const trimmed = trimSlashes(path)
  const slash = trimmed.lastIndexOf(SLASH)
  if (slash === -1) return Buffer.from('.')
  return slash === 0 ? Buffer.from('/') : trimmed.subarray(0, slash)
}

/** `name` inside `directory`. Nothing is normalised: a `..` in the directory goes through the real file system. */
export function joinPath(directory: Buffer, name: Buffer): Buffer {
  return endsInSlash(directory) ? Buffer.concat([directory, name]) : Buffer.concat([directory, Buffer.from('/'), name])
}

/** A name beside `name` for what is not finished: `.<name><suffix>`. */
export function temporaryName(name: Buffer, { suffix }: PartialMark): Buffer {
  return Buffer.concat([Buffer.from('.'), name.subarray(0, MAX_STEM_BYTES), Buffer.from(suffix)])
}

function trimSlashes(path: Buffer): Buffer {
  let end = path.length
  while (end > 1 && path[end - 1] === SLASH) end -= 1
  return path.subarray(0, end)
}
