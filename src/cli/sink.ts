import type { Writable } from 'node:stream'

/** Told when a stream cannot be written any more: `broken` for a reader that has gone, else the system's error. */
export type OnGone = (reason: 'broken' | Error) => void

/**
 * One of our own output streams. Once it is gone, what is written to it is dropped, so that whoever writes need not
 * care; the listener decides what becomes of the command.
 */
export class Sink {
  readonly isTerminal: boolean
  readonly columns: number
  readonly #stream: Writable
  #gone = false
  #drained: Promise<void> | undefined

  constructor(stream: Writable & { readonly isTTY?: boolean; readonly columns?: number }, onGone: OnGone) {
    this.#stream = stream
    this.isTerminal = stream.isTTY === true
    this.columns = stream.columns ?? 80
    stream.on('error', (error: Error & { readonly code?: string }) => {
      if (this.#gone) return
      this.#gone = true
      onGone(error.code === 'EPIPE' || error.code === 'EIO' ? 'broken' : error)
    })
  }

  /** Writes; a promise that it returns settles when the reader has caught up. Never rejects. */
  write(data: string | Uint8Array): void | Promise<void> {
    if (this.#gone || this.#stream.write(data)) return undefined
    return (this.#drained ??= this.#drain())
  }

  /** Writes `text` as a line. */
  line(text: string): void | Promise<void> {
    return this.write(`${text}\n`)
  }

  /** Settles when everything that was written has left this process, or never will. */
  async flush(): Promise<void> {
    if (this.#gone) return
    await new Promise<void>((resolve) => {
      this.#stream.once('close', resolve)
      this.#stream.write('', () => resolve())
    })
  }

  async #drain(): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        for (const event of ['drain', 'error', 'close']) this.#stream.off(event, done)
        resolve()
      }
      for (const event of ['drain', 'error', 'close']) this.#stream.once(event, done)
    })
    this.#drained = undefined
  }
}
