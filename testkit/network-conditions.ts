import type { Socket } from 'node:net'

/** Which way bytes travel: `toServer` is what the client sent. */
export type Direction = 'toServer' | 'toClient'

/** What the lanes of one network share: its state now, and what is planned for bytes to come. */
export class NetworkConditions {
  latencyMs: number
  stalled = false
  readonly jitterMs: number
  /** Bytes sent on so far, over all connections. */
  readonly delivered: Record<Direction, number> = { toServer: 0, toClient: 0 }
  /** Resets every connection, at both ends except for `spared`, which gets what is written to it and then an end. */
  readonly cut: (spared?: Socket) => void
  /** Offsets in `delivered` at which something happens. */
  readonly #cutAt: Partial<Record<Direction, number>> = {}
  readonly #corruptAt: Partial<Record<Direction, number>> = {}

  constructor(options: { readonly latencyMs?: number; readonly jitterMs?: number }, cut: (spared?: Socket) => void) {
    this.latencyMs = options.latencyMs ?? 0
    this.jitterMs = options.jitterMs ?? 0
    this.cut = cut
  }

  /** When what is read now is to be sent on. */
  dueMs(): number {
    return performance.now() + this.latencyMs + Math.random() * this.jitterMs
  }

  /** After `bytes` more; at once for 0. */
  planCut(bytes: number, direction: Direction): void {
    if (bytes <= 0) this.cut()
    else this.#cutAt[direction] = this.delivered[direction] + bytes
  }

  planCorruption(atByte: number, direction: Direction): void {
    this.#corruptAt[direction] = this.delivered[direction] + atByte
  }

  /** What arrives of `data`, and whether the connections end with it. */
  deliver(data: Buffer, direction: Direction): { readonly data: Buffer; readonly cuts: boolean } {
    const start = this.delivered[direction]
    const cutAt = this.#cutAt[direction] ?? Infinity
    const cuts = cutAt <= start + data.length
    const arriving = this.#corrupted(cuts ? data.subarray(0, cutAt - start) : data, direction)
    this.delivered[direction] = start + arriving.length
    if (cuts) delete this.#cutAt[direction]
    return { data: arriving, cuts }
  }

  #corrupted(data: Buffer, direction: Direction): Buffer {
    const offset = (this.#corruptAt[direction] ?? Infinity) - this.delivered[direction]
    const byte = data[offset]
    if (byte === undefined) return data
    delete this.#corruptAt[direction]
    const copy = Buffer.from(data)
    copy[offset] = byte ^ 0x01
    return copy
  }
}
