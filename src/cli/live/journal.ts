import { close, mkdtempSync, openSync, read, readSync, rmSync, write } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { formatBytes } from '../byte-size.ts'

const writeAt = promisify(write)
const readAt = promisify(read)

/** Whoever writes faster than the disk waits when so much is on its way. */
const MOST_PENDING = 1024 * 1024
const BLOCK = 64 * 1024
/** Who leaves at once does not wait for more than this to be printed. */
const MOST_AT_ONCE = 1024 * 1024

/** Where the journal is printed. */
export type Print = (data: Uint8Array) => void | Promise<void>

/**
 * What would have been printed, kept until it can be. The file has no name any more when the first byte is written, so
 * that nobody else can read it and nothing of it is left however the process ends.
 */
export class Journal {
  readonly #file: number
  readonly #onFailed: (error: unknown) => void
  /** In the file, and printed of that. */
  #writtenBytes = 0
  #printedBytes = 0
  /** Not yet in the file; the first may be on its way. */
  #pending: Buffer[] = []
  #pendingBytes = 0
  #writing: Promise<void> | undefined
  #replaying: Promise<void> | undefined
  #failed = false

  private constructor(file: number, onFailed: (error: unknown) => void) {
    this.#file = file
    this.#onFailed = onFailed
  }

  /** `onFailed` hears when no more can be written; what comes then stays in memory. Throws where there can be no file. */
  static open(onFailed: (error: unknown) => void): Journal {
    const folder = mkdtempSync(join(tmpdir(), 'remex-live-'))
    try {
      return new Journal(openSync(join(folder, 'output'), 'wx+', 0o600), onFailed)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  /** Adds to it; a promise that it returns settles when more can be taken. Never rejects. */
  append(data: string | Uint8Array): void | Promise<void> {
    const bytes = Buffer.from(data)
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
    if (!this.#failed) this.#writing ??= this.#write()
    // A terminal may be slower than the disk: without this a host that floods would never let the replay end.
    return this.#replaying ?? (this.#pendingBytes > MOST_PENDING ? this.#writing : undefined)
  }

  /** Prints all of it, what comes meanwhile too, and calls `done` before anything more can come. */
  replay(print: Print, done: () => void): Promise<void> {
    const replaying = this.#replay(print, done)
    // Whoever waits for room has nothing to do with what goes wrong here.
    this.#replaying = replaying.catch(() => undefined)
    return replaying
  }

  /** Prints what is left of it at once, for a process that ends; of much only the end. */
  replayNow(print: (data: Uint8Array) => void): void {
    const left = this.#writtenBytes - this.#printedBytes
    if (left > MOST_AT_ONCE) print(Buffer.from(`remex: ${formatBytes(left - MOST_AT_ONCE)} of output are not shown: left at once\n`))
    this.#printedBytes = Math.max(this.#printedBytes, this.#writtenBytes - MOST_AT_ONCE)
    const block = Buffer.allocUnsafe(MOST_AT_ONCE)
    print(block.subarray(0, readSync(this.#file, block, 0, this.#writtenBytes - this.#printedBytes, this.#printedBytes)))
    for (const bytes of this.#pending) print(bytes)
  }

  /** Lets the file go. */
  async close(): Promise<void> {
    await this.#writing
    await promisify(close)(this.#file)
  }

  async #replay(print: Print, done: () => void): Promise<void> {
    const block = Buffer.allocUnsafe(BLOCK)
    for (;;) {
      if (this.#printedBytes < this.#writtenBytes) await print(await this.#read(block))
      else if (this.#writing) await this.#writing
      else if (this.#pending.length > 0) await print(this.#shift())
      else return done()
    }
  }

  async #read(block: Buffer): Promise<Buffer> {
    const { bytesRead } = await readAt(this.#file, block, 0, Math.min(BLOCK, this.#writtenBytes - this.#printedBytes), this.#printedBytes)
    if (bytesRead === 0) throw new Error('the temporary file of the live view ended too early')
    this.#printedBytes += bytesRead
    return block.subarray(0, bytesRead)
  }

  /** What was appended stays pending until it is in the file, so that it is found at any time. */
  async #write(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        const batch = Buffer.concat(this.#pending)
        this.#pending = [batch]
        const { bytesWritten } = await writeAt(this.#file, batch, 0, batch.length, this.#writtenBytes)
        this.#writtenBytes += bytesWritten
        this.#pendingBytes -= bytesWritten
        if (bytesWritten === batch.length) this.#pending.shift()
        else this.#pending[0] = batch.subarray(bytesWritten)
      }
    } catch (error) {
      this.#failed = true
      this.#onFailed(error)
    }
    this.#writing = undefined
  }

  #shift(): Buffer {
    return this.#pending.shift() ?? Buffer.alloc(0)
  }
}
