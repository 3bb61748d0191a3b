/** The longest time a Node timer can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** An interval or timeout in ms as a Node timer can wait it; 0 for one that is `Infinity`: none. */
export function timerMs(ms: number): number {
  return Number.isFinite(ms) ? Math.min(Math.max(Math.ceil(ms), 1), MAX_TIMER_MS) : 0
}
