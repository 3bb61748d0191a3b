import { Readable } from 'node:stream'

/** Unread bytes of one stream at which the SSH window is held closed. What was under way still comes: at most the window. */
const HOLD_AT_BYTES = 256 * 1024

/** Where data of a channel goes. */
export interface Sink {
  /** Takes a chunk; false when it has enough for now. `null` is the end. */
  readonly take: (chunk: Buffer | null) => boolean
  /** Bytes that nobody has read yet. */
  readonly unread: () => number
}

/** A sink that fills a readable stream. */
export function sinkOf(stream: Readable): Sink {
  return {
    take: (chunk) => stream.destroyed || stream.push(chunk),
    unread: () => stream.readableLength,
  }
}

/** A stream with its sink; `release` is called when the sink has room again. Destroying the stream discards what still comes. */
export function sinkStream(release: (sink: Sink) => void): { readonly stream: Readable; readonly sink: Sink } {
  const stream = new Readable({
    highWaterMark: HOLD_AT_BYTES,
    read: () => release(sink),
    destroy: (error, done) => {
      release(sink)
      done(error)
    },
  })
  const sink = sinkOf(stream)
  stream.on('error', () => undefined)
  return { stream, sink }
}
