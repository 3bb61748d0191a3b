/** The window that a channel begins with, in bytes; what a server may send before it hears of us again. */
export const FIRST_WINDOW_BYTES = 1024 * 1024

/** What it is made at once where the way is long. */
const LONG_WAY_BYTES = 4 * 1024 * 1024
const LONG_WAY_MS = 5

/** The largest that it grows to. */
export const MOST_WINDOW_BYTES = 8 * 1024 * 1024

/** The shortest time over which bandwidth is measured. */
const SHORTEST_SPAN_MS = 20

/** So much is given back at a time: what a server is allowed in one go, it sends in one go. */
const STEP_BYTES = 256 * 1024

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
 *
 * It grows no faster than data comes in, and is given back in small steps. ssh appends each packet for us to a buffer that it
 * enlarges, and so copies, for every packet (OpenSSH sshbuf.c, sshbuf_allocate): what comes faster than we take it costs time that
 * grows with the square of it. A window of 16 MiB that was opened at once took 4 s for 64 MB.
 */
export class ReceiveWindow {
  readonly #timing: WindowTiming
  #size = FIRST_WINDOW_BYTES
  #wanted = FIRST_WINDOW_BYTES
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

  /** What to give now: 0 for as long as it would not be worth a message. */
  giveBack(): number {
    this.#measure()
    const least = this.#timing.roundTripMs() < LONG_WAY_MS ? FIRST_WINDOW_BYTES : LONG_WAY_BYTES
    const missing = this.#size - this.#left
    if (missing < STEP_BYTES && this.#size >= least) return 0
    const size = Math.max(this.#size, least, Math.min(this.#size + missing, this.#wanted))
    const bytes = size - this.#left
    this.#size = size
    this.#left = size
    return bytes
  }

  #measure(): void {
    const nowMs = this.#timing.nowMs()
    const roundTripMs = this.#timing.roundTripMs()
    const spanMs = nowMs - this.#spanStartMs
    if (spanMs < Math.max(SHORTEST_SPAN_MS, roundTripMs)) return
    this.#wanted = Math.min(MOST_WINDOW_BYTES, Math.ceil(2 * (this.#spanBytes / spanMs) * roundTripMs))
    this.#spanStartMs = nowMs
    this.#spanBytes = 0
  }
}
