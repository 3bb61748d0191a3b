import type { RemexError } from '../core/errors.ts'
import { cancelledError, timeoutError, type Stage } from './peer.ts'
import { timerMs } from './timer.ts'

/** What bounds an attempt to connect. */
export interface Bounds {
  /** For all of it, from DNS to login. `Infinity`: no limit. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/**
 * What `work` comes to within the bounds. Rejects with `CONNECT_TIMEOUT` or `CANCELLED`, which name the stage it stood in, or with
 * what `work` rejects with. The work is not ended by that.
 */
export async function within<T>({ timeoutMs, signal }: Bounds, stage: () => Stage, work: () => Promise<T>): Promise<T> {
  if (signal?.aborted === true) throw cancelledError(stage(), signal.reason)
  const { promise, reject } = rejectable()
  const onAbort = (): void => reject(cancelledError(stage(), signal?.reason))
  const wait = timerMs(timeoutMs)
  const timer = wait === 0 ? undefined : setTimeout(() => reject(timeoutError(stage(), timeoutMs)), wait)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, work()])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}

function rejectable(): { promise: Promise<never>; reject: (error: RemexError) => void } {
  let reject: (error: RemexError) => void = () => undefined
  const promise = new Promise<never>((_resolve, refuse) => { reject = refuse })
  return { promise, reject }
}
