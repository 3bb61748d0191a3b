import type { Duplex } from 'node:stream'
import { timerMs } from '../timer.ts'

/** How many intervals without a byte from the server are too many. */
export const KEEPALIVE_COUNT = 3

/**
 * Calls `onDead` when nothing at all came in for {@link KEEPALIVE_COUNT} intervals, while ssh2 sends a request that wants
 * an answer in each. ssh2's own count looks only at answers to its requests: on a slow link these wait behind data,
 * and a connection that is busy would be taken as dead. Ends with the stream.
 */
export function watchLife(stream: Duplex, intervalMs: number, onDead: () => void): void {
  if (timerMs(intervalMs) === 0) return
  let heard = true
  let silent = 0
  const tick = (): void => {
    silent = heard ? 0 : silent + 1
    heard = false
    if (silent >= KEEPALIVE_COUNT) onDead()
  }
  const timer = setInterval(tick, timerMs(intervalMs)).unref()
  stream.on('data', () => { heard = true })
  stream.once('close', () => clearInterval(timer))
}
