import { Duplex } from 'node:stream'
import { sinkOf, type Sink } from '../../sink.ts'
import { MuxChannel, type ChannelHome } from './mux-channel.ts'

/** What comes on a stream that a forwarded connection does not have. */
const NOWHERE: Sink = { take: () => true, unread: () => 0 }

/** A forwarded TCP connection that behaves as a socket does: it is destroyed when its connection is, and destroying it closes the channel. */
export function forwardChannel(number: number, home: ChannelHome): { readonly mux: MuxChannel; readonly stream: Duplex } {
  const stream = new Duplex({
    read: () => mux.release(sink),
    write: (chunk: Buffer, _encoding, done) => mux.write(chunk, done),
    final: (done) => {
      mux.finish()
      done()
    },
    destroy: (error, done) => {
      mux.close()
      mux.release(sink)
      done(error)
    },
  })
  const sink = sinkOf(stream)
  stream.on('error', () => undefined)
  const mux = new MuxChannel(number, home, { stdout: sink, stderr: NOWHERE, onRequest: () => undefined })
  void mux.over.then(() => (mux.isLost ? stream.destroy() : stream.end()))
  return { mux, stream }
}
