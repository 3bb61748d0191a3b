import type { Clock } from '../core/clock.ts'
import type { RemexError } from '../core/errors.ts'

const LONGEST_WAIT_MS = 30_000

/** When to try again. */
export interface RetryPolicy {
  /** How often to try in all, 1 or more. */
  readonly attempts: number
  /** No attempt begins later than this after the first. */
  readonly budgetMs: number
  readonly signal: AbortSignal | undefined
  readonly clock: Clock
  /** 0 up to 1; default: Math.random. */
  readonly random?: () => number
}

/** What came of the attempts. */
export interface Retried<T> {
  readonly outcome: T
  readonly attempts: number
  /** The codes of the attempts that failed before the last. */
  readonly failures: readonly string[]
}

/**
 * Repeats `attempt` while its outcome carries an error for which `again` says yes. The waits between are
 * 1, 2, 4 … s, capped at 30 s, each a random part of that, so that many clients do not come back at once.
 */
export async function withRetries<T>(
  policy: RetryPolicy,
  attempt: () => Promise<T>,
  again: (outcome: T) => RemexError | undefined,
): Promise<Retried<T>> {
  const { clock, random = Math.random } = policy
  const startMs = clock.monotonicMs()
  const failures: string[] = []
  for (let count = 1; ; count++) {
    const outcome = await attempt()
    const error = again(outcome)
    const waitMs = random() * Math.min(LONGEST_WAIT_MS, 1000 * 2 ** (count - 1))
    const inTime = clock.monotonicMs() - startMs + waitMs < policy.budgetMs
    if (!error || count >= policy.attempts || !inTime || policy.signal?.aborted) return { outcome, attempts: count, failures }
    failures.push(error.code)
    await clock.sleep(waitMs, policy.signal).catch(() => undefined)
    if (policy.signal?.aborted) return { outcome, attempts: count, failures }
  }
}
