import type { Readable } from 'node:stream'

/**
 * Feeds every chunk of `stream` to `consume` and resolves when the stream has ended or closed.
 * While a promise that `consume` returned is pending the stream is paused, which closes the SSH window.
 * Rejects with what `consume` throws; the rest of the stream is then left unread.
 */
export function drain(stream: Readable, consume: (chunk: Buffer) => void | Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let waiting: Promise<void> | undefined
    const settle = (): void => {
      if (waiting) waiting.then(resolve, reject)
      else resolve()
    }
    stream.on('data', (chunk: Buffer) => {
      try {
        const pending = consume(chunk)
        if (!pending) return
        stream.pause()
        waiting = pending.then(() => {
          waiting = undefined
          stream.resume()
        })
        waiting.catch(reject)
      } catch (error) {
        stream.pause()
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
    stream.once('end', settle)
    stream.once('close', settle)
    stream.once('error', settle)
  })
}
