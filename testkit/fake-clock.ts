import type { Clock } from '../src/core/clock.ts'

interface Sleeper {
  readonly dueMs: number
  readonly wake: () => void
}

/**
 * Time that moves only when a test moves it. `sleep` is what the rooms wait with; `advance` wakes who is due, in order.
 * Starts at 2026-01-31T12:00:00Z with a monotonic time of 0.
 */
export class FakeClock implements Clock {
  #elapsedMs = 0
  #wallStartMs = Date.UTC(2026, 0, 31, 12)
  readonly #sleepers = new Set<Sleeper>()

  now(): number {
    return this.#wallStartMs + this.#elapsedMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  /** How many are asleep; what a test waits for before it moves the time. */
  get sleepers(): number {
    return this.#sleepers.size
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    return new Promise((resolve, reject) => {
      const sleeper = { dueMs: this.#elapsedMs + Math.max(0, ms), wake: () => settle(resolve) }
      const abort = (): void => settle(() => reject(signal?.reason))
      const settle = (then: () => void): void => {
        this.#sleepers.delete(sleeper)
        signal?.removeEventListener('abort', abort)
        then()
      }
      signal?.addEventListener('abort', abort)
      this.#sleepers.add(sleeper)
    })
  }

  after(ms: number, wake: () => void): () => void {
    const cancelled = new AbortController()
    this.sleep(ms, cancelled.signal).then(wake, () => undefined)
    return () => cancelled.abort()
  }

  /**
   * Moves both times on by `ms`. Each sleeper that comes due on the way wakes at its own time, the earliest first and equal
   * ones in the order they fell asleep; what it does next has begun, and may have fallen asleep again, before the next one wakes.
   * Throws a `RangeError` for a time that would go back.
   */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0 && ms < Infinity)) throw new RangeError(`time cannot move by ${ms} ms`)
    const targetMs = this.#elapsedMs + ms
    await turn()
    for (let next = this.#nextDue(targetMs); next; next = this.#nextDue(targetMs)) {
      this.#elapsedMs = next.dueMs
      next.wake()
      await turn()
    }
    this.#elapsedMs = targetMs
  }

  /** Moves the wall time alone, as a correction of the system's time does. May go back. Wakes nobody. */
  jump(ms: number): void {
    this.#wallStartMs += ms
  }

  #nextDue(untilMs: number): Sleeper | undefined {
    let next: Sleeper | undefined
    for (const sleeper of this.#sleepers) {
      if (sleeper.dueMs <= untilMs && (next === undefined || sleeper.dueMs < next.dueMs)) next = sleeper
    }
    return next
  }
}

/** Lets everything run that waits for promises that have settled. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
