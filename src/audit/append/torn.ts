import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { newRunId } from '../../core/run-id.ts'

/** What was moved away from behind the last whole record. */
export interface Torn {
  readonly torn_bytes: number
  /** File name, beside the log. */
  readonly torn_file: string
  /** SHA-256 of the bytes, hex. */
  readonly torn_sha256: string
}

/** The log, and from where on it is torn. */
export interface TornLog {
  readonly file: FileHandle
  readonly path: string
  readonly fromOffset: number
  /** Wall time, ms since 1970; goes into the name. */
  readonly now: number
}

const CHUNK_BYTES = 65_536

/**
 * Moves what is behind `fromOffset` into a file of its own, `audit.jsonl.torn-<time>-<random>`, mode 0600. The copy is on
 * disk before the log is cut, so a crash in between loses nothing. Called under the lock. Rejects with the system's error.
 */
export async function moveTorn({ file, path, fromOffset, now }: TornLog): Promise<Torn> {
  const target = `${path}.torn-${newRunId(now)}`
  const copied = await copyTail(file, fromOffset, target)
  await file.truncate(fromOffset)
  return { ...copied, torn_file: basename(target) }
}

async function copyTail(source: FileHandle, fromOffset: number, path: string): Promise<Omit<Torn, 'torn_file'>> {
  const target = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    const copied = await copy(source, fromOffset, target)
    await target.sync()
    return copied
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await target.close()
  }
}

async function copy(source: FileHandle, fromOffset: number, target: FileHandle): Promise<Omit<Torn, 'torn_file'>> {
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(CHUNK_BYTES)
  for (let copied = 0; ; ) {
    const { bytesRead } = await source.read(chunk, 0, CHUNK_BYTES, fromOffset + copied)
    if (bytesRead === 0) return { torn_bytes: copied, torn_sha256: hash.digest('hex') }
    const bytes = chunk.subarray(0, bytesRead)
    hash.update(bytes)
    await target.appendFile(bytes)
    copied += bytesRead
  }
}
