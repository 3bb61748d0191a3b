import type { Clock } from './clock.ts'
import { formatDurationMs } from './duration.ts'
import { remexError } from './errors.ts'

/** What a {@link Deadline} is made of. */
export interface DeadlineOptions {
  /** `Infinity` for none. */
  readonly timeoutMs: number
  readonly clock: Clock
  /** The caller's own cancel. */
  readonly signal: AbortSignal | undefined
  /** What did not end in time, for the message. */
  readonly what: string
}

/** A signal that aborts with the caller's, or with `TIMED_OUT` when the time has passed. Dispose it when the work is over. */
export class Deadline implements Disposable {
  readonly signal: AbortSignal
  readonly #cancel: () => void

  constructor({ timeoutMs, clock, signal, what }: DeadlineOptions) {
    const late = new AbortController()
    this.signal = signal ? AbortSignal.any([signal, late.signal]) : late.signal
    this.#cancel = clock.after(timeoutMs, () => late.abort(remexError('TIMED_OUT', `${what} did not end within ${formatDurationMs(timeoutMs)}`)))
  }

  [Symbol.dispose](): void {
    this.#cancel()
  }
}
