/** Makes ready for what takes a turn; the function that it resolves with is called when the turn is over. */
export type Hold = () => Promise<() => void>

/** Lets one thing happen at a time, in the order in which they were asked for. */
export class Turns {
  readonly #holds = new Set<Hold>()
  #last: Promise<unknown> = Promise.resolve()

  /** Does `work` when all before it has ended, however it ended. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(() => this.#held(work))
    this.#last = mine.catch(() => undefined)
    return mine
  }

  /** Has `hold` called before each turn, until the function that it returns is called. */
  around(hold: Hold): () => void {
    this.#holds.add(hold)
    return () => void this.#holds.delete(hold)
  }

  async #held<T>(work: () => Promise<T>): Promise<T> {
    const releases = await Promise.all([...this.#holds].map((hold) => hold()))
    try {
      return await work()
    } finally {
      for (const release of releases) release()
    }
  }
}
