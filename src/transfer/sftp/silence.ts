/** What is watched for silence. */
export interface Watched {
  /** How long nothing may be heard while an answer is owed. `Infinity`: for ever, as anything over 248 days. */
  readonly silenceMs: number
  /** Whether an answer is owed. */
  readonly isOwed: () => boolean
  /** Called once, at most a tenth of the time late. */
  readonly onSilence: () => void
}

const TICKS = 10
/** What a timer of Node can wait for. */
const LONGEST_TICK_MS = 2 ** 31 - 1

/**
 * Tells when a server has stopped answering. One timer for each connection, which does not keep the process alive. It counts
 * ticks in place of measuring time: a process that was stopped, or busy with something else, has not listened meanwhile,
 * and between two ticks what has arrived is always taken.
 */
export class SilenceWatch {
  readonly #watched: Watched
  readonly #timer: NodeJS.Timeout | undefined
  #silentTicks = 0

  constructor(watched: Watched) {
    this.#watched = watched
    const tickMs = watched.silenceMs / TICKS
    if (tickMs <= LONGEST_TICK_MS) this.#timer = setInterval(() => this.#tick(), tickMs).unref()
  }

  /** Something was heard. */
  heard(): void {
    this.#silentTicks = 0
  }

  /** Ends the watch. */
  stop(): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    // The first tick may come right after something was heard, so one more than their number is needed.
    this.#silentTicks = this.#watched.isOwed() ? this.#silentTicks + 1 : 0
    if (this.#silentTicks <= TICKS) return
    this.stop()
    this.#watched.onSilence()
  }
}
