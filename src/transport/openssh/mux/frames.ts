import { dataHead, type DataHead } from './messages.ts'

/**
 * The largest frame that is taken. A server may send packets of 256 KiB, and ssh passes them on as they are.
 * Source: OpenSSH packet.c, PACKET_MAX_SIZE.
 */
export const MAX_FRAME_BYTES = 512 * 1024

const LENGTH_BYTES = 4

/** What takes what a {@link FrameReader} reads. Buffers are parts of what arrived, not copies. */
export interface FrameTaker {
  readonly onFrame: (frame: Buffer) => void
  /** A part of a channel's data, as soon as it is there. */
  readonly onData: (head: DataHead, part: Buffer) => void
}

/** Cuts a stream into frames, each with its length before it. Source: OpenSSH PROTOCOL.mux, introduction. */
export class FrameReader {
  /** Whether frames are packets of the connection protocol: then their data is not waited for. Default: false. */
  readsPackets = false
  readonly #taker: FrameTaker
  /** The beginning of a frame. */
  #partial: Buffer | undefined
  /** The data that is under way, and what is still to come of it. */
  #data: DataHead | undefined
  #missing = 0

  constructor(taker: FrameTaker) {
    this.#taker = taker
  }

  /** Takes what arrived. Throws for a frame that is empty, larger than {@link MAX_FRAME_BYTES}, or not as long as its data. */
  push(chunk: Buffer): void {
    const bytes = this.#partial ? Buffer.concat([this.#partial, chunk]) : chunk
    let at = this.#pass(bytes, 0)
    while (bytes.length - at > LENGTH_BYTES) {
      const used = this.#take(bytes.subarray(at))
      if (used === 0) break
      at += used
    }
    this.#partial = at < bytes.length ? bytes.subarray(at) : undefined
  }

  /** Takes one frame from the beginning of `bytes`, or its head and what there is of its data; gives what it took, 0 where it has to wait. */
  #take(bytes: Buffer): number {
    const length = bytes.readUInt32BE(0)
    if (length === 0 || length > MAX_FRAME_BYTES) throw new Error(`a frame of ${length} bytes`)
    const end = LENGTH_BYTES + length
    const head = this.readsPackets ? dataHead(bytes.subarray(LENGTH_BYTES, end)) : undefined
    if (!head) {
      if (bytes.length < end) return 0
      this.#taker.onFrame(bytes.subarray(LENGTH_BYTES, end))
      return end
    }
    if (head.headBytes + head.dataBytes !== length) throw new Error(`a frame of ${length} bytes with ${head.dataBytes} bytes of data`)
    this.#data = head
    this.#missing = head.dataBytes
    return this.#pass(bytes, LENGTH_BYTES + head.headBytes)
  }

  /** Passes on what `bytes` has of the data that is under way, from `at`; gives where it ends. */
  #pass(bytes: Buffer, at: number): number {
    if (!this.#data || this.#missing === 0) return at
    const end = Math.min(at + this.#missing, bytes.length)
    this.#missing -= end - at
    if (end > at) this.#taker.onData(this.#data, bytes.subarray(at, end))
    return end
  }
}
