import { RemexError, remexError } from './errors.ts'

/** The error of an operation that `signal` cancelled: its reason where that is ours, else `CANCELLED`. */
export function cancelledError(signal: AbortSignal, what: string): RemexError {
  const reason: unknown = signal.reason
  return reason instanceof RemexError ? reason : remexError('CANCELLED', `${what} was cancelled`, { cause: reason })
}

/**
 * `promise`, or a rejection with `CANCELLED` as soon as `signal` aborts. The work behind the promise goes on;
 * its result is dropped.
 */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined, what: string): Promise<T> {
  if (!signal) return promise
  if (signal.aborted) {
    promise.catch(() => undefined)
    return Promise.reject(cancelledError(signal, what))
  }
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(cancelledError(signal, what))
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
