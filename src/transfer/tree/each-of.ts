/** Does `work` for each item, at most `limit` at once, begun in order. Rejects with the first failure, and begins nothing after it. */
export async function eachOf<T>(items: readonly T[], limit: number, work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values()
  let hasFailed = false
  const worker = async (): Promise<void> => {
    // The iterator is shared: every worker takes the next item.
    for (const item of rest) {
      if (hasFailed) return
      try {
        await work(item)
      } catch (error) {
        hasFailed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
}
