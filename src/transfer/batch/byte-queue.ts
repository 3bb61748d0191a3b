/** Chunks up to this are put together: a host that sends byte by byte must not cost a buffer for each. */
const SMALL_BYTES = 2048

/** Bytes that arrive in chunks, and are taken off at the front in pieces of another size. */
export class ByteQueue {
  #chunks: Buffer[] = []
  #sizeBytes = 0

  /** How many bytes are waiting. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  push(chunk: Buffer): void {
    const last = this.#chunks.at(-1)
    this.#sizeBytes += chunk.length
    if (last === undefined || last.length + chunk.length > SMALL_BYTES) this.#chunks.push(chunk)
    else this.#chunks[this.#chunks.length - 1] = Buffer.concat([last, chunk])
  }

  /** The first `count` bytes, which may share memory with a chunk; undefined where fewer are waiting. */
  take(count: number): Buffer | undefined {
    if (count > this.#sizeBytes) return undefined
    const pieces: Buffer[] = []
    for (let left = count; left > 0; ) {
      const piece = this.#shift(left)
      pieces.push(piece)
      left -= piece.length
    }
    const [only] = pieces
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, count)
  }

  /** The first line without its line feed; undefined where none is complete. */
  takeLine(): Buffer | undefined {
    let before = 0
    for (const chunk of this.#chunks) {
      const end = chunk.indexOf(0x0a)
      if (end !== -1) return this.take(before + end + 1)?.subarray(0, -1)
      before += chunk.length
    }
    return undefined
  }

  /** Drops the first `count` bytes, or all that are waiting where they are fewer; returns how many it dropped. */
  skip(count: number): number {
    const dropped = Math.min(count, this.#sizeBytes)
    for (let left = dropped; left > 0; ) left -= this.#shift(left).length
    return dropped
  }

  /** At most `most` bytes of the first chunk. */
  #shift(most: number): Buffer {
    const chunk = this.#chunks[0] ?? Buffer.alloc(0)
    const piece = chunk.subarray(0, most)
    if (piece.length === chunk.length) this.#chunks.shift()
    else this.#chunks[0] = chunk.subarray(most)
    this.#sizeBytes -= piece.length
    return piece
  }
}
