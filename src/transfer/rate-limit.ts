import type { Clock } from '../core/clock.ts'
import { throwIfAborted } from './abort.ts'
import type { ByteSource } from './pipeline.ts'

/** Bytes per second that may pass, shared by all who take from it. */
export class RateLimit {
  readonly bytesPerSecond: number
  readonly #clock: Clock
  /** When everything that was taken so far has passed, on the monotonic clock. */
  #freeMs = 0

  constructor(bytesPerSecond: number, clock: Clock) {
    this.bytesPerSecond = bytesPerSecond
    this.#clock = clock
  }

  /** Resolves when `byteCount` more may pass: those who ask first go first. Rejects as {@link throwIfAborted} does. */
  async take(byteCount: number, signal: AbortSignal | undefined): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    const startMs = Math.max(nowMs, this.#freeMs)
    this.#freeMs = startMs + (byteCount / this.bytesPerSecond) * 1000
    if (startMs <= nowMs) return
    await this.#clock.sleep(startMs - nowMs, signal).catch((error: unknown) => {
      throwIfAborted(signal)
      throw error
    })
  }

  /** The same source, read no faster than this allows. */
  slowed<S extends ByteSource>(source: S, signal: AbortSignal | undefined): ByteSource {
    return {
      read: async (into) => {
        const byteCount = await source.read(into)
        if (byteCount > 0) await this.take(byteCount, signal)
        return byteCount
      },
    }
  }
}
