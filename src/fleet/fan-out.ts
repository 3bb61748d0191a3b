/**
 * Calls `work` for every item, at most `parallel` at a time, and yields what each came to as it finishes.
 * A rejection of `work` ends the whole and is thrown; failures of one item belong into its result.
 * Ending the iteration early starts nothing more; what runs is awaited.
 */
export async function* fanOut<T, R>(items: Iterable<T>, parallel: number, work: (item: T) => Promise<R>): AsyncGenerator<R> {
  const waiting = items[Symbol.iterator]()
  const finished: Promise<R>[] = []
  const running = new Set<Promise<R>>()
  let wake: () => void = () => undefined
  let ended = false

  const startNext = (): void => {
    const item = ended ? undefined : waiting.next()
    if (!item || item.done) return
    const job = work(item.value)
    running.add(job)
    const settle = (): void => {
      running.delete(job)
      finished.push(job)
      startNext()
      wake()
    }
    job.then(settle, settle)
  }

  try {
    for (let count = 0; count < parallel; count++) startNext()
    while (running.size > 0 || finished.length > 0) {
      if (finished.length === 0) await new Promise<void>((resolve) => (wake = resolve))
      for (const job of finished.splice(0)) yield await job
    }
  } finally {
    ended = true
    await Promise.allSettled(running)
  }
}
