import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** Size of a block; only the last of a spool may be shorter. */
export const BLOCK_BYTES = 64 * 1024

/**
 * Blocks of output on disk, in one file that has no name: it takes one descriptor however many hosts there are, nobody
 * else can open it, and the system frees it with the process, however that ends. Blocks that are given back are used again.
 */
export class SpoolStore implements AsyncDisposable {
  /** Where the file is, for messages. */
  readonly folder: string
  readonly #free: number[] = []
  #count = 0
  #file: Promise<FileHandle> | undefined

  constructor(folder: string) {
    this.folder = folder
  }

  /** How much of the disk is used at most. */
  get sizeBytes(): number {
    return this.#count * BLOCK_BYTES
  }

  /** A block of one's own, to be given back by {@link release}. */
  take(): number {
    return this.#free.pop() ?? this.#count++
  }

  release(blocks: readonly number[]): void {
    for (const block of blocks) this.#free.push(block)
  }

  /** Writes at most a block's size. Rejects with the system's error. */
  async write(block: number, bytes: Buffer): Promise<void> {
    const file = await this.#opened()
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, block * BLOCK_BYTES + done)
      done += bytesWritten
    }
  }

  /** Reads the first bytes of a block. Rejects with the system's error. */
  async read(block: number, sizeBytes: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(sizeBytes)
    const file = await this.#opened()
    const { bytesRead } = await file.read(bytes, 0, sizeBytes, block * BLOCK_BYTES)
    return bytes.subarray(0, bytesRead)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.then((file) => file.close(), () => undefined)
  }

  #opened(): Promise<FileHandle> {
    return (this.#file ??= openNameless(this.folder))
  }
}

/** A file for this user alone that is gone from its directory as soon as it is open. */
async function openNameless(folder: string): Promise<FileHandle> {
  const path = join(folder, `remex-${randomBytes(16).toString('hex')}`)
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  await unlink(path)
  return file
}
