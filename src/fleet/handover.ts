/** Passes items from a producer that waits to a consumer that asks: one at a time. */
export class Handover<T> implements AsyncIterable<T> {
  readonly #waiting: { readonly item: T; readonly taken: () => void }[] = []
  #wake: () => void = () => undefined
  #ended = false
  #discarding = false

  /** Resolves when the item was taken, or nobody takes any more. */
  give(item: T): Promise<void> {
    if (this.#discarding) return Promise.resolve()
    return new Promise((taken) => {
      this.#waiting.push({ item, taken })
      this.#wake()
    })
  }

  /** Nothing more will come. */
  end(): void {
    this.#ended = true
    this.#wake()
  }

  /** Nobody reads any more: what waits is dropped, what comes is not held. */
  discard(): void {
    this.#discarding = true
    for (const { taken } of this.#waiting.splice(0)) taken()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const next = this.#waiting.shift()
      if (next) {
        try {
          yield next.item
        } finally {
          next.taken()
        }
      } else if (this.#ended) return
      else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }
}
