import { RemexError, remexError } from '../core/errors.ts'

/** The error that stands for an aborted `signal`: its reason where that is ours, else `TIMED_OUT` or `CANCELLED`. */
export function abortError(signal: AbortSignal): RemexError {
  const reason: unknown = signal.reason
  if (reason instanceof RemexError) return reason
  const timedOut = reason instanceof DOMException && reason.name === 'TimeoutError'
  if (timedOut) return remexError('TIMED_OUT', 'the deadline passed during the transfer', { cause: reason })
  return remexError('CANCELLED', 'the transfer was cancelled', { cause: reason })
}

/** Throws {@link abortError} once `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal)
}
