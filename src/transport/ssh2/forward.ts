import { Duplex } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import type { ChannelHome } from './channel.ts'
import { Inbound, sinkOf } from './inbound.ts'
import { Outbound } from './outbound.ts'

/**
 * A forwarded TCP connection as a stream that behaves as a socket does: it is destroyed when the channel closes,
 * and destroying it closes the channel. ssh2's own does neither.
 */
export function forwardStream(channel: ClientChannel, home: ChannelHome): Duplex {
  const inbound = new Inbound(channel, home.onFlood)
  const outbound = new Outbound(channel, home.stream)
  const stream = new Duplex({
    read: () => inbound.release(sink),
    write: (chunk: Buffer, _encoding, done) => outbound.write(chunk, done),
    final: (done) => {
      outbound.finish()
      done()
    },
    destroy: (error, done) => {
      outbound.end()
      channel.close()
      done(error)
    },
  })
  const sink = sinkOf(stream)
  stream.on('error', () => undefined)
  channel.on('error', () => undefined)
  channel.once('close', () => stream.end())
  inbound.divert(channel, sink)
  return stream
}
