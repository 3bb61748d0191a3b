import { Duplex } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { sinkOf } from '../sink.ts'
import { isUsable, type ChannelHome } from './channel-home.ts'
import { Inbound } from './inbound.ts'
import { Outbound } from './outbound.ts'

/**
 * A forwarded TCP connection as a stream that behaves as a socket does: it is destroyed when the channel closes,
 * and destroying it closes the channel. ssh2's own does neither.
 */
export function forwardStream(channel: ClientChannel, home: ChannelHome): Duplex {
  const inbound = new Inbound(channel, home)
  const outbound = new Outbound(channel, home)
  const stream = new Duplex({
    read: () => inbound.release(sink),
    write: (chunk: Buffer, _encoding, done) => outbound.write(chunk, done),
    final: (done) => {
      outbound.finish()
      done()
    },
    destroy: (error, done) => {
      outbound.end()
      if (isUsable(home)) channel.close()
      done(error)
    },
  })
  const sink = sinkOf(stream)
  stream.on('error', () => undefined)
  channel.on('error', () => undefined)
  // A forwarded connection has no second stream; what a server sends on it all the same goes nowhere.
  channel.stderr.on('error', () => undefined).resume()
  channel.once('close', () => (isUsable(home) ? stream.end() : stream.destroy()))
  inbound.divert(channel, sink)
  return stream
}
