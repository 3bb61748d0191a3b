import { createHash, type Hash } from 'node:crypto'
import { BLOCK_BYTES, type SpoolStore } from './spool-store.ts'

/** So much of a spool that is kept stays in memory; a store of its own would cost more. */
const SMALL_BYTES = 4 * 1024

/**
 * One stream of one host: at most a block of it in memory, the rest in the store, and its SHA-256 as it comes. Where
 * the store cannot take it nothing can be read, and {@link error} says why; length and hash are of everything that came nevertheless.
 */
export class Spool {
  readonly #store: SpoolStore
  readonly #blocks: number[] = []
  #hash: Hash | undefined
  #identity: string | undefined
  #sizeBytes = 0
  /** What is not in the store. */
  #recent: Buffer[] = []
  #recentBytes = 0
  #writing: Promise<unknown> = Promise.resolve()
  #error: Error | undefined

  constructor(store: SpoolStore) {
    this.#store = store
  }

  /** All that came. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Why not all that came can be read again; undefined where it can. */
  get error(): Error | undefined {
    return this.#error
  }

  /** Takes the next bytes; a promise that it returns settles when there is room for more. Never rejects. */
  add(chunk: Buffer): void | Promise<void> {
    this.#hash ??= createHash('sha256')
    this.#hash.update(chunk)
    this.#sizeBytes += chunk.length
    if (this.#error) return
    // A slice would hold its whole network buffer in memory.
    this.#recent.push(Buffer.from(chunk))
    this.#recentBytes += chunk.length
    return this.#recentBytes < BLOCK_BYTES ? undefined : this.#spill()
  }

  /** At the end of the stream: the same text for equal streams, and for no others. */
  async identity(): Promise<string> {
    await this.#writing
    return (this.#identity ??= `${this.#sizeBytes}:${this.#hash?.digest('hex') ?? ''}`)
  }

  /** At the end of the stream: from now on it takes next to no memory. */
  async keep(): Promise<void> {
    await this.#writing
    if (this.#sizeBytes > SMALL_BYTES) await this.#put(this.#takeRecent())
    else if (this.#recent.length > 1) this.#recent = [Buffer.concat(this.#recent)]
  }

  /** Gives back what it holds. */
  async drop(): Promise<void> {
    await this.#writing
    this.#store.release(this.#blocks.splice(0))
    this.#takeRecent()
  }

  /** What came, from `from` on, as far as it was kept. Rejects with the system's error. */
  async *read(from = 0): AsyncGenerator<Buffer, void> {
    await this.#writing
    let at = 0
    const kept = this.#sizeBytes - this.#recentBytes
    for (const block of this.#blocks) {
      const end = Math.min(at + BLOCK_BYTES, kept)
      if (end > from) yield (await this.#store.read(block, end - at)).subarray(Math.max(0, from - at))
      at = end
    }
    for (const part of this.#recent) {
      if (at + part.length > from) yield part.subarray(Math.max(0, from - at))
      at += part.length
    }
  }

  /** Moves whole blocks to the store. */
  async #spill(): Promise<void> {
    const bytes = this.#takeRecent()
    const whole = bytes.length - (bytes.length % BLOCK_BYTES)
    const rest = Buffer.from(bytes.subarray(whole))
    this.#recent = [rest]
    this.#recentBytes = rest.length
    await this.#put(bytes.subarray(0, whole))
  }

  #takeRecent(): Buffer {
    const [first = Buffer.alloc(0), ...more] = this.#recent
    this.#recent = []
    this.#recentBytes = 0
    return more.length === 0 ? first : Buffer.concat([first, ...more])
  }

  async #put(bytes: Buffer): Promise<void> {
    const writes: Promise<void>[] = []
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      const block = this.#store.take()
      this.#blocks.push(block)
      writes.push(this.#store.write(block, bytes.subarray(at, at + BLOCK_BYTES)))
    }
    // All of them: a block that is still being written must not be given to another.
    this.#writing = Promise.allSettled([this.#writing, ...writes]).then((ends) => {
      for (const end of ends) if (end.status === 'rejected') this.#fail(end.reason)
    })
    await this.#writing
  }

  /** A part would pass for the whole: nothing is kept. */
  #fail(error: unknown): void {
    this.#error ??= error instanceof Error ? error : new Error(String(error))
    this.#store.release(this.#blocks.splice(0))
    this.#takeRecent()
  }
}
