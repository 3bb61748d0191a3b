import type { Writable } from 'node:stream'

/** Told when a stream cannot be written any more: `broken` for a reader that has gone, else the system's error. */
export type OnGone = (reason: 'broken' | Error) => void

/** A stream whose writes go elsewhere for a while. */
export interface Diversion {
  /** Writes to the stream itself. */
  past(data: string | Uint8Array): void | Promise<void>
  /** From now on writes go to the stream again. */
  end(): void
}

/** Where writes go in place of a stream; a promise holds the writer back. */
export type Taker = (data: string | Uint8Array) => void | Promise<void>

/**
 * One of our own output streams. Once it is gone, what is written to it is dropped, so that whoever writes need not
 * care; the listener decides what becomes of the command.
 */
export class Sink {
  readonly isTerminal: boolean
  readonly #stream: Writable & { readonly columns?: number; readonly rows?: number }
  #gone = false
  #taker: Taker | undefined
  #drained: Promise<void> | undefined

  constructor(stream: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number }, onGone: OnGone) {
    this.#stream = stream
    this.isTerminal = stream.isTTY === true
    stream.on('error', (error: Error & { readonly code?: string }) => {
      if (this.#gone) return
      this.#gone = true
      onGone(error.code === 'EPIPE' || error.code === 'EIO' ? 'broken' : error)
    })
  }

  /** The width of the terminal as it is now; 80 where there is none, 0 where it does not know. */
  get columns(): number {
    return this.#stream.columns ?? 80
  }

  /** The height of the terminal as it is now; 0 where it is not known. */
  get rows(): number {
    return this.#stream.rows ?? 0
  }

  /** Calls `listener` when the terminal has another size, until the function that it returns is called. */
  onResize(listener: () => void): () => void {
    this.#stream.on('resize', listener)
    return () => void this.#stream.off('resize', listener)
  }

  /** Hands what is written from now on to `taker`. One at a time. */
  divert(taker: Taker): Diversion {
    this.#taker = taker
    return { past: (data) => this.#put(data), end: () => (this.#taker = undefined) }
  }

  /** Writes; a promise that it returns settles when the reader has caught up. Never rejects. */
  write(data: string | Uint8Array): void | Promise<void> {
    return this.#taker ? this.#taker(data) : this.#put(data)
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

  #put(data: string | Uint8Array): void | Promise<void> {
    if (this.#gone || this.#stream.write(data)) return undefined
    return (this.#drained ??= this.#drain())
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
