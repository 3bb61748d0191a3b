import { setTimeout as delay } from 'node:timers/promises'

/** Time as the rooms see it, so that tests can hold it. */
export interface Clock {
  /** Wall time in ms since 1970; may jump. */
  now(): number
  /** Time in ms that never goes back; for durations. */
  monotonicMs(): number
  /** Resolves after `ms`; rejects with the signal's reason when it aborts. `Infinity` waits for the signal alone. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `wake` after `ms`, unless the function that it returns is called before. `Infinity`: never. */
  after(ms: number, wake: () => void): () => void
}

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(ms, signal) {
    try {
      // A timer cannot hold Infinity; a day-long one repeated would be the same, and nothing waits this long.
      await delay(Math.min(ms, 2_147_483_647), undefined, { signal })
    } catch (error) {
      throw signal?.aborted ? signal.reason : error
    }
  },
  after(ms, wake) {
    if (ms === Infinity) return () => undefined
    const timer = setTimeout(wake, ms)
    return () => clearTimeout(timer)
  },
}
