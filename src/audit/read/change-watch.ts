import { watch, type FSWatcher } from 'node:fs'

/** How long a change can stay unseen on a file system that tells of none. */
const POLL_MS = 1000

/** Tells when something in a directory may have changed. It need not be there yet. Dispose of it. */
export class ChangeWatch implements Disposable {
  readonly #directory: string
  #watcher: FSWatcher | undefined
  #changed = false
  #wake: () => void = () => undefined

  constructor(directory: string) {
    this.#directory = directory
    this.#watch()
  }

  /** Resolves at once where something changed since the last call resolved, else at the next change, after a second, or when the signal aborts. */
  async next(signal: AbortSignal): Promise<void> {
    if (!this.#changed && !signal.aborted) await this.#awake(signal)
    this.#changed = false
    if (!this.#watcher) this.#watch()
  }

  [Symbol.dispose](): void {
    this.#watcher?.close()
  }

  #awake(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), POLL_MS)
      this.#wake = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', this.#wake)
        resolve()
      }
      signal.addEventListener('abort', this.#wake)
    })
  }

  #watch(): void {
    try {
      this.#watcher = watch(this.#directory, () => {
        this.#changed = true
        this.#wake()
      }).on('error', () => this.#unwatch())
    } catch {
      // Not there, or no more watches to be had: looking once in a while must do.
    }
  }

  #unwatch(): void {
    this.#watcher?.close()
    this.#watcher = undefined
  }
}
