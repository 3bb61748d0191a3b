import type { Duplex } from 'node:stream'
import type { Turnstile } from '../../core/turnstile.ts'

/** A server that sends more than a handshake needs is not read any further until its turn has come. */
const MOST_HELD = 16

/**
 * Holds what arrives on a stream for its turn at the turnstile, ahead of the next listener that is added to it. The function that is
 * returned ends that, once what was held has passed: from then on the listener hears everything at once, as if nothing had been.
 */
export function paced(stream: Duplex, turnstile: Turnstile): () => void {
  const held: Buffer[] = []
  let listener: ((chunk: Buffer) => void) | undefined
  let state: 'waiting' | 'pacing' | 'over' = 'waiting'
  let isWanted = true
  const hear = (chunk: Buffer): void => listener?.call(stream, chunk)
  const next = (): void => {
    const chunk = held.shift()
    if (held.length === MOST_HELD - 1) stream.resume()
    if (chunk) hear(chunk)
    settle()
  }
  const hold = (chunk: Buffer): void => {
    if (held.push(chunk) >= MOST_HELD) stream.pause()
    turnstile.pass(next)
  }
  const settle = (): void => {
    if (isWanted || state !== 'pacing' || held.length > 0 || !listener) return
    state = 'over'
    stream.off('data', hold).off('end', flush).off('close', flush).on('data', listener)
  }
  // Nothing comes after the end, so what was held must come before it.
  const flush = (): void => {
    for (let chunk = held.shift(); chunk; chunk = held.shift()) hear(chunk)
    settle()
  }
  const onNewListener = (event: string | symbol, added: (chunk: Buffer) => void): void => {
    if (event !== 'data') return
    stream.off('newListener', onNewListener)
    listener = added
    // It is there only after this.
    queueMicrotask(() => {
      if (!isWanted) return
      state = 'pacing'
      stream.off('data', added).on('data', hold).prependListener('end', flush).prependListener('close', flush)
    })
  }
  stream.on('newListener', onNewListener)
  return () => {
    isWanted = false
    stream.off('newListener', onNewListener)
    settle()
  }
}
