import { setTimeout as delay } from 'node:timers/promises'

/** What {@link until} may be told. */
export interface UntilOptions {
  /** What is waited for, as it completes "waited 10 s for …". */
  readonly what: string
  /** Default: 10 000. */
  readonly timeoutMs?: number
}

/** What `T` is once it counts as true. */
export type Truthy<T> = Exclude<T, false | 0 | '' | null | undefined>

const FIRST_WAIT_MS = 5
const LONGEST_WAIT_MS = 50

/**
 * Asks again and again until `condition` gives something true, and returns that. A condition that throws is not met yet,
 * and one that never answers is not waited for any longer than the rest.
 * Throws an `Error` that names `what` when the time is up; its cause is what the condition threw last.
 * This is what tests use where they would otherwise sleep.
 */
export async function until<T>(condition: () => T | Promise<T>, options: UntilOptions): Promise<Truthy<T>> {
  const timeoutMs = options.timeoutMs ?? 10_000
  const deadline = performance.now() + timeoutMs
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 1.5, LONGEST_WAIT_MS)) {
    const answer = await ask(condition, deadline)
    if ('value' in answer && isTruthy(answer.value)) return answer.value
    const leftMs = deadline - performance.now()
    if (leftMs <= 0) throw new Error(`waited ${timeoutMs / 1000} s for ${options.what}`, 'cause' in answer ? answer : undefined)
    await delay(Math.min(waitMs, leftMs))
  }
}

async function ask<T>(condition: () => T | Promise<T>, deadline: number): Promise<{ value: T } | { cause: unknown }> {
  const settled = new AbortController()
  // Asked once even when there is no time at all, so it has a moment to answer.
  const late = delay(Math.max(LONGEST_WAIT_MS, deadline - performance.now()), { cause: new Error('it did not answer') }, settled)
  try {
    return await Promise.race([Promise.resolve(condition()).then((value) => ({ value })), late])
  } catch (cause) {
    return { cause }
  } finally {
    late.catch(() => undefined)
    settled.abort()
  }
}

function isTruthy<T>(value: T): value is Truthy<T> & T {
  return Boolean(value)
}
