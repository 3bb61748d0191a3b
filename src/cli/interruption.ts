import { setMaxListeners } from 'node:events'
import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Exit status after an interruption. */
export const INTERRUPTED = 130
/** What a shell says of a program that wrote to a pipe without a reader, as `yes | head` does. */
export const BROKEN_PIPE = 128 + constants.signals.SIGPIPE

/** Ends what runs on the hosts when we are told to end: by Ctrl-C, TERM or HUP, or because nobody reads our output. */
export class Interruption {
  readonly #abort = new AbortController()
  readonly #running = new Set<string>()
  readonly #say: (text: string) => void
  #held = 0
  #follows = false
  #status: number | undefined

  constructor(say: (text: string) => void) {
    this.#say = say
    // Every host that runs listens; that is no leak, and Node would warn of one.
    setMaxListeners(0, this.#abort.signal)
  }

  /** For the calls of the library: aborts once we are to end. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** The exit status that an interruption asks for; undefined where there was none. */
  get status(): number | undefined {
    return this.#status
  }

  /** Whether nobody reads our output any more, so that there is nobody to tell. */
  get silent(): boolean {
    return this.#status === BROKEN_PIPE
  }

  /** Whether {@link onlyFollow} was called. */
  get follows(): boolean {
    return this.#follows
  }

  /** From now on what runs on the hosts outlives us: an interruption ends only the following, whose signal is aborted. */
  onlyFollow(): void {
    this.#follows = true
  }

  /** Listens to the signals from now on, for as long as the process lives. */
  listen(): void {
    for (const name of SIGNALS) process.on(name, () => this.#signalled())
  }

  /** Does `work`, which ends by itself, cleaned up, when the signal aborts. Without any, the first signal ends the process. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#held++
    try {
      return await work()
    } finally {
      this.#held--
    }
  }

  /** Something runs on the host; for what is said when we leave without waiting. */
  started(vmId: string): void {
    this.#running.add(vmId)
  }

  /** Nothing of ours runs on the host any more. */
  ended(vmId: string): void {
    this.#running.delete(vmId)
  }

  /** Ends what runs, without a word: the reader of our output has gone. */
  cancel(status: number): void {
    this.#status ??= status
    this.#abort.abort()
  }

  #signalled(): void {
    const again = this.#abort.signal.aborted
    if (this.#held === 0 || again) {
      if (again && this.#running.size > 0) this.#say(this.#leaving())
      process.exit(INTERRUPTED)
    }
    if (this.#running.size > 0 && !this.#follows) this.#say('interrupted: ending what runs on the hosts (once more to leave at once)')
    this.#status = INTERRUPTED
    this.#abort.abort()
  }

  #leaving(): string {
    if (this.#follows) return 'left at once; see what goes on on the hosts: remex runs list'
    return `left at once; processes may still run on ${[...this.#running].join(', ')}`
  }
}
