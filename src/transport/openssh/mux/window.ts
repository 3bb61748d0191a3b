/** The window that a channel begins with, in bytes; what a server may send before it hears of us again. */
export const FIRST_WINDOW_BYTES = 2 * 1024 * 1024

/** The largest that it grows to. */
export const MOST_WINDOW_BYTES = 16 * 1024 * 1024

/** The shortest time over which bandwidth is measured. */
const SHORTEST_SPAN_MS = 20

/** What a window needs to know of time. */
export interface WindowTiming {
  /** In ms, monotonic. */
  readonly nowMs: () => number
  /** The shortest round trip to the server that was seen on this connection, in ms. */
  readonly roundTripMs: () => number
}

/**
 * How much a server may still send on a channel. It starts small and follows the product of bandwidth and delay, twice over: so
 * a link that is long and fast is filled, while on one that is short no more than the first window can lie about unread.
 */
export class ReceiveWindow {
  readonly #timing: WindowTiming
  #size = FIRST_WINDOW_BYTES
  /** What the server may still send. */
  #left = FIRST_WINDOW_BYTES
  #spanStartMs: number
  #spanBytes = 0

  constructor(timing: WindowTiming) {
    this.#timing = timing
    this.#spanStartMs = timing.nowMs()
  }

  /** Notes that so much came in; false: it is more than was allowed. */
  take(bytes: number): boolean {
    this.#left -= bytes
    this.#spanBytes += bytes
    return this.#left >= 0
  }

  /** What to give back now: 0 for as long as it would not be worth a message. */
  giveBack(): number {
    this.#grow()
    const bytes = this.#size - this.#left
    if (bytes < this.#size / 4) return 0
    this.#left = this.#size
    return bytes
  }

  #grow(): void {
    const { nowMs, roundTripMs } = this.#timing
    const spanMs = nowMs() - this.#spanStartMs
    if (spanMs < Math.max(SHORTEST_SPAN_MS, roundTripMs())) return
    const wanted = Math.ceil(2 * (this.#spanBytes / spanMs) * roundTripMs())
    this.#size = Math.min(MOST_WINDOW_BYTES, Math.max(this.#size, wanted))
    this.#spanStartMs = nowMs()
    this.#spanBytes = 0
  }
}
