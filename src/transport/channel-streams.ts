import { Duplex, Writable } from 'node:stream'
import { sinkOf, type Sink } from './sink.ts'

/** What takes what goes out on a channel. */
export interface Outlet {
  /** Calls `done` when the next chunk may come. */
  readonly write: (chunk: Buffer, done: () => void) => void
  /** Sends EOF after what was written. */
  readonly finish: () => void
}

/** The input of a channel. Destroying it, other than ending it, sends no EOF: input that broke off must not look complete. */
export function inputStream(outlet: Outlet): Writable {
  return quiet(new Writable(writing(outlet)))
}

/** A channel that carries a connection. */
export interface Carrier extends Outlet {
  /** There is room again for what comes in. */
  readonly release: (sink: Sink) => void
  readonly close: () => void
}

/** A connection on a channel as a stream that behaves as a socket does, with the sink for what comes in. Destroying it closes the channel. */
export function carriedStream(carrier: Carrier): { readonly stream: Duplex; readonly sink: Sink } {
  const stream = new Duplex({
    ...writing(carrier),
    read: () => carrier.release(sink),
    destroy: (error, done) => {
      carrier.close()
      done(error)
    },
  })
  const sink = sinkOf(stream)
  return { stream: quiet(stream), sink }
}

function writing(outlet: Outlet): Required<Pick<ConstructorParameters<typeof Writable>[0] & object, 'write' | 'final'>> {
  return {
    write: (chunk: Buffer, _encoding, done) => outlet.write(chunk, done),
    final: (done) => {
      outlet.finish()
      done()
    },
  }
}

/** An error of it (a write after the end) says nothing that the promises of the channel do not say. */
function quiet<T extends Writable>(stream: T): T {
  return stream.on('error', () => undefined)
}
