/**
 * Calls `work` for every item, at most `parallel` at a time, and yields what each came to as it finishes.
 * `work` must not reject for one item's failure: a rejection ends the whole. Ending the iteration early starts
 * nothing more; what runs is awaited.
 */
export async function* fanOut<T, R>(items: readonly T[], parallel: number, work: (item: T) => Promise<R>): AsyncGenerator<R> {
  const running = new Map<number, Promise<{ readonly index: number; readonly result: R }>>()
  let next = 0
  const start = (): void => {
    while (running.size < parallel && next < items.length) {
      const index = next++
      running.set(index, work(items[index] as T).then((result) => ({ index, result })))
    }
  }
  try {
    for (start(); running.size > 0; start()) {
      const { index, result } = await Promise.race(running.values())
      running.delete(index)
      yield result
    }
  } finally {
    await Promise.allSettled(running.values())
  }
}
