/** Keeps the first `maxBytes` of a stream and counts the rest. */
export class Capture {
  readonly #maxBytes: number
  readonly #chunks: Buffer[] = []
  #keptBytes = 0
  #totalBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(chunk: Buffer): void {
    this.#totalBytes += chunk.length
    const room = this.#maxBytes - this.#keptBytes
    if (room <= 0) return
    // A slice would hold its whole network buffer in memory: a cut chunk is copied.
    const kept = chunk.length <= room ? chunk : Buffer.from(chunk.subarray(0, room))
    this.#chunks.push(kept)
    this.#keptBytes += kept.length
  }

  /** What was kept, in one piece. */
  bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }

  /** All bytes that came, kept or not. */
  get totalBytes(): number {
    return this.#totalBytes
  }

  get truncated(): boolean {
    return this.#totalBytes > this.#keptBytes
  }
}
