import type { Readable } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { sinkStream, type Sink } from '../sink.ts'
import { isUsable, type ChannelHome } from './channel-home.ts'

/** Unread bytes of one stream that no server reaches which keeps to the window. */
const FLOOD_BYTES = 8 * 1024 * 1024

/**
 * Leads what a channel receives into sinks of our own, past ssh2's buffers. ssh2 gives the window back whenever *either*
 * stream is read (client.js, Channel.js), so stdout that nobody reads would grow for as long as stderr is read.
 * Here it is given back only while both have room.
 */
export class Inbound {
  readonly #channel: ClientChannel
  readonly #home: ChannelHome
  readonly #full = new Set<Sink>()
  #isWhole = false

  constructor(channel: ClientChannel, home: ChannelHome) {
    this.#channel = channel
    this.#home = home
  }

  /** Whether the server ended it: ssh2 ends it too when the connection is gone. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  /** Leads `source`, the channel or its stderr, into `sink` from now on, beginning with what it has already. */
  divert(source: Readable, sink: Sink): void {
    const pushEnd = source.push.bind(source)
    const early: unknown = source.read()
    if (Buffer.isBuffer(early)) this.#give(sink, early)
    source.push = (chunk: unknown): boolean => {
      if (Buffer.isBuffer(chunk)) return this.#give(sink, chunk)
      this.#isWhole ||= isUsable(this.#home)
      return pushEnd(null)
    }
    source.once('end', () => sink.take(null))
    // Nothing is in it any more; flowing, it comes to its end by itself.
    source.resume()
  }

  /** The sink has room again. */
  release(sink: Sink): void {
    const isRoomy = this.#full.delete(sink) && this.#full.size === 0
    // ssh2 gives the window back in the channel's `_read`, if it was told to hold it.
    if (isRoomy && isUsable(this.#home)) this.#channel._read(0)
  }

  /** Called by ssh2 for each packet; false makes it hold the window. */
  #give(sink: Sink, chunk: Buffer): boolean {
    if (!sink.take(chunk)) this.#full.add(sink)
    if (sink.unread() > FLOOD_BYTES) this.#home.onFlood()
    return this.#full.size === 0
  }
}

/** A stream of what `source` receives. Destroying it discards what still comes. */
export function inboundStream(inbound: Inbound, source: Readable): Readable {
  const { stream, sink } = sinkStream((freed) => inbound.release(freed))
  inbound.divert(source, sink)
  return stream
}
