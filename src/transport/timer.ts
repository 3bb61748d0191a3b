/** The longest time a Node timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** What `what` comes to; undefined where that takes longer than `ms`. Nothing keeps the process waiting afterwards. */
export async function atMost<T>(ms: number, what: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => { timer = setTimeout(() => resolve(undefined), ms) })
  try {
    return await Promise.race([what, late])
  } finally {
    clearTimeout(timer)
  }
}

/** An interval or timeout in ms as a Node timer can wait it; 0 for one that is `Infinity`: none. */
export function timerMs(ms: number): number {
  return Number.isFinite(ms) ? Math.min(Math.max(Math.ceil(ms), 1), MAX_TIMER_MS) : 0
}
