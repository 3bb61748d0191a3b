/** Chunks up to this are put together: a host that sends byte by byte must not cost a buffer for each. */
const SMALL_BYTES = 2048
const NOTHING = Buffer.alloc(0)

/** Bytes that arrive in chunks, and are taken off at the front in pieces of another size. */
export class ByteQueue {
  #chunks: Buffer[] = []
  /** How much of the first chunk was taken. Buffers that share memory are costly to make, so that it is not cut each time. */
  #taken = 0
  #sizeBytes = 0

  /** How many bytes are waiting. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  push(chunk: Buffer): void {
    this.#sizeBytes += chunk.length
    const last = this.#chunks.at(-1)
    if (last === undefined || last.length + chunk.length > SMALL_BYTES) this.#chunks.push(chunk)
    else this.#chunks[this.#chunks.length - 1] = Buffer.concat([last, chunk])
  }

  /** The first `count` bytes, which may share memory with a chunk; undefined where fewer are waiting. */
  take(count: number): Buffer | undefined {
    if (count > this.#sizeBytes) return undefined
    const start = this.#taken
    const first = this.#chunks[0] ?? NOTHING
    if (start + count > first.length) return this.#gather(count)
    this.skip(count)
    return first.subarray(start, start + count)
  }

  /** The same as text, a character for each byte. */
  takeText(count: number): string | undefined {
    const start = this.#taken
    const first = this.#chunks[0] ?? NOTHING
    if (start + count > first.length) return this.take(count)?.toString('latin1')
    this.skip(count)
    return first.toString('latin1', start, start + count)
  }

  /** The first line without its line feed, a character for each byte; undefined where none is complete. */
  takeLine(): string | undefined {
    let before = -this.#taken
    for (const [index, chunk] of this.#chunks.entries()) {
      const end = chunk.indexOf(0x0a, index === 0 ? this.#taken : 0)
      if (end !== -1) return this.takeText(before + end + 1)?.slice(0, -1)
      before += chunk.length
    }
    return undefined
  }

  /** Drops the first `count` bytes, or all that are waiting where they are fewer; returns how many it dropped. */
  skip(count: number): number {
    const dropped = Math.min(count, this.#sizeBytes)
    this.#sizeBytes -= dropped
    this.#taken += dropped
    for (let first = this.#chunks[0]; first !== undefined && this.#taken >= first.length; first = this.#chunks[0]) {
      this.#taken -= first.length
      this.#chunks.shift()
    }
    return dropped
  }

  /** The first `count` bytes, out of several chunks. */
  #gather(count: number): Buffer {
    const gathered = Buffer.allocUnsafe(count)
    for (let filled = 0; filled < count; ) {
      const copied = (this.#chunks[0] ?? NOTHING).copy(gathered, filled, this.#taken)
      filled += this.skip(Math.min(copied, count - filled))
    }
    return gathered
  }
}
