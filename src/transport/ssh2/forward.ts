import type { Duplex } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { carriedStream } from '../channel-streams.ts'
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
  const { stream, sink } = carriedStream({
    write: (chunk, done) => outbound.write(chunk, done),
    finish: () => outbound.finish(),
    release: (freed) => inbound.release(freed),
    close: () => {
      outbound.end()
      if (isUsable(home)) channel.close()
    },
  })
  channel.on('error', () => undefined)
  // A forwarded connection has no second stream; what a server sends on it all the same goes nowhere.
  channel.stderr.on('error', () => undefined).resume()
  channel.once('close', () => (isUsable(home) ? stream.end() : stream.destroy()))
  inbound.divert(channel, sink)
  return stream
}
