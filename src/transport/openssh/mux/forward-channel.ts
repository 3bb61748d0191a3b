import type { Duplex } from 'node:stream'
import { carriedStream } from '../../channel-streams.ts'
import type { Sink } from '../../sink.ts'
import { MuxChannel, type ChannelHome } from './mux-channel.ts'

/** What comes on a stream that a forwarded connection does not have. */
const NOWHERE: Sink = { take: () => true, unread: () => 0 }

/** A forwarded TCP connection that behaves as a socket does: it is destroyed when its connection is, and destroying it closes the channel. */
export function forwardChannel(number: number, home: ChannelHome): { readonly mux: MuxChannel; readonly stream: Duplex } {
  const { stream, sink } = carriedStream({
    write: (chunk, done) => mux.write(chunk, done),
    finish: () => mux.finish(),
    release: (freed) => mux.release(freed),
    close: () => {
      mux.close()
      mux.release(sink)
    },
  })
  const mux = new MuxChannel(number, home, { stdout: sink, stderr: NOWHERE, onRequest: () => undefined })
  void mux.over.then(() => (mux.isLost ? stream.destroy() : stream.end()))
  return { mux, stream }
}
