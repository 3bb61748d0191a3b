import { createHash } from 'node:crypto'
import { constants, open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { remexError } from '../core/errors.ts'
import type { SeekableSource } from './same-start.ts'
import { localError } from './local-side.ts'
import type { FileTimes } from './local-temporary.ts'
import { baseName, pathBytes, showPath } from './path-name.ts'
import type { PathName } from './path-name.ts'

const READ_BYTES = 256 * 1024

/** What an upload sends: a local file, or bytes that are in memory. */
export type UploadSource = LocalFile | { readonly data: Uint8Array }

interface LocalFile {
  readonly localPath: PathName
  /** Whether a symbolic link is followed. Default: true. */
  readonly follow?: boolean
}

/** A source that is open. */
export interface OpenSource extends SeekableSource {
  /** For the receipt: the path as given. */
  readonly label: string
  /** What it is called inside a target directory; undefined for bytes in memory. */
  readonly name: Buffer | undefined
  /** Undefined where it is not known before the end: files of /proc say 0. */
  readonly sizeBytes: number | undefined
  /** Permission bits of the source; undefined for bytes in memory, as are its times. */
  readonly mode: number | undefined
  readonly times: FileTimes | undefined
  /** SHA-256 of the whole, hexadecimal; the next read begins at the start. */
  sha256(): Promise<string>
  /** Rejects with `TRANSFER_FAILED` when the source changed since it was opened. */
  assertUnchanged(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens `source`, once. Rejects with `LOCAL_NOT_FOUND`, `PERMISSION_DENIED`, and `USAGE` for what is not a regular file.
 */
export async function openSource(source: UploadSource): Promise<OpenSource> {
  if ('localPath' in source) return fileSource(source)
  const { buffer, byteOffset, byteLength } = source.data
  return memorySource(Buffer.from(buffer, byteOffset, byteLength))
}

async function fileSource({ localPath, follow = true }: LocalFile): Promise<OpenSource> {
  const path = pathBytes(localPath, 'local path')
  // Without O_NONBLOCK a pipe that nobody writes to would be waited for.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | (follow ? 0 : constants.O_NOFOLLOW)).catch((error: unknown) => {
    throw localError(error, 'open', path)
  })
  try {
    return await describe(file, path)
  } catch (error) {
    await file.close()
    throw error
  }
}

async function describe(file: FileHandle, path: Buffer): Promise<OpenSource> {
  const before = await file.stat({ bigint: true })
  if (!before.isFile()) {
    const [what, hint] = before.isDirectory() ? ['a directory', 'A whole tree is moved with --recursive.'] : ['not a regular file', 'Name a regular file.']
    throw remexError('USAGE', `the local ${showPath(path)} is ${what}`, { hint })
  }
  let at = 0
  const read = async (into: Buffer): Promise<number> => {
    const filled = await fill(file, { into, at, path })
    at += filled
    return filled
  }
  return {
    label: path.toString(),
    name: baseName(path),
    sizeBytes: before.size === 0n ? undefined : Number(before.size),
    mode: Number(before.mode) & 0o777,
    times: { atime: Math.floor(Number(before.atimeMs) / 1000), mtime: Math.floor(Number(before.mtimeMs) / 1000) },
    seek: (offset) => void (at = offset),
    read,
    sha256: async () => {
      at = 0
      const hash = createHash('sha256')
      const buffer = Buffer.allocUnsafe(READ_BYTES)
      for (let filled = await read(buffer); filled > 0; filled = await read(buffer)) hash.update(buffer.subarray(0, filled))
      at = 0
      return hash.digest('hex')
    },
    assertUnchanged: async () => {
      const after = await file.stat({ bigint: true })
      if (after.size === before.size && after.mtimeNs === before.mtimeNs) return
      throw remexError('TRANSFER_FAILED', `the local ${showPath(path)} changed while it was read`, {
        hint: 'Nothing was replaced on the host. Repeat when nobody writes to the file, or send a copy of it.',
      })
    },
    close: () => file.close(),
  }
}

/** Reads until `into` is full or the file ends: kernel files give less than is asked for. */
async function fill(file: FileHandle, { into, at, path }: { into: Buffer; at: number; path: Buffer }): Promise<number> {
  let filled = 0
  try {
    while (filled < into.length) {
      const { bytesRead } = await file.read(into, filled, into.length - filled, at + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
  } catch (error) {
    throw localError(error, 'read', path)
  }
  return filled
}

function memorySource(data: Buffer): OpenSource {
  let at = 0
  return {
    label: '(data)',
    name: undefined,
    sizeBytes: data.length,
    mode: undefined,
    times: undefined,
    seek: (offset) => void (at = offset),
    read: async (into) => {
      const copied = data.copy(into, 0, at)
      at += copied
      return copied
    },
    sha256: async () => createHash('sha256').update(data).digest('hex'),
    assertUnchanged: async () => {},
    close: async () => {},
  }
}
