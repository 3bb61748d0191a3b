import { setImmediate } from 'node:timers/promises'

const SLICE_MS = 8

/** Cuts long work of this process into slices, so that connections, deadlines and signals are served between them. */
export class Pace {
  #since = performance.now()

  /** Whether the slice is used up: then `await` {@link turn}. Asked for each piece, so that pieces do not wait for nothing. */
  get isDue(): boolean {
    return performance.now() - this.#since >= SLICE_MS
  }

  /** Lets everything else have its turn. */
  async turn(): Promise<void> {
    await setImmediate()
    this.#since = performance.now()
  }
}
