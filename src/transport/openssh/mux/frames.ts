/**
 * The largest frame that is taken. A server may send packets of 256 KiB, and ssh passes them on as they are.
 * Source: OpenSSH packet.c, PACKET_MAX_SIZE.
 */
export const MAX_FRAME_BYTES = 512 * 1024

/** Cuts a stream into frames, each with its length before it. Source: OpenSSH PROTOCOL.mux, introduction. */
export class FrameReader {
  readonly #onFrame: (frame: Buffer) => void
  #partial: Buffer | undefined

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame
  }

  /** Takes what arrived. Frames are parts of it, not copies. Throws for a frame that is empty or larger than {@link MAX_FRAME_BYTES}. */
  push(chunk: Buffer): void {
    const bytes = this.#partial ? Buffer.concat([this.#partial, chunk]) : chunk
    let at = 0
    while (bytes.length - at >= 4) {
      const length = bytes.readUInt32BE(at)
      if (length === 0 || length > MAX_FRAME_BYTES) throw new Error(`a frame of ${length} bytes`)
      if (bytes.length - at - 4 < length) break
      this.#onFrame(bytes.subarray(at + 4, at + 4 + length))
      at += 4 + length
    }
    this.#partial = at < bytes.length ? bytes.subarray(at) : undefined
  }
}
