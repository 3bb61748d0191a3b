import type { ClientChannel } from 'ssh2'
import { isUsable, type ChannelHome } from './channel-home.ts'

/** Bytes waiting in the connection's stream at which a channel stops writing. */
const HOLD_AT_BYTES = 1024 * 1024

/** Called when a chunk is on its way. */
type Done = () => void

/**
 * Writes to a channel, one chunk at a time, with the backpressure of the SSH window and of the connection:
 * ssh2 writes on as far as the window goes, however slow the network is. After the channel's end, chunks are discarded.
 */
export class Outbound {
  readonly #channel: ClientChannel
  readonly #home: ChannelHome
  #pending: Done | undefined
  #isOver = false

  constructor(channel: ClientChannel, home: ChannelHome) {
    this.#channel = channel
    this.#home = home
    // ssh2 never calls back for a chunk that it had when the server closed the channel.
    channel.once('close', () => this.end())
  }

  /** Calls `done` when the next chunk may come. */
  write(chunk: Buffer, done: Done): void {
    if (!this.#isOpen()) return done()
    this.#pending = done
    this.#channel.write(chunk, () => this.#whenDrained())
  }

  /** Sends EOF after what was written. */
  finish(): void {
    if (this.#isOpen()) this.#channel.end()
  }

  /** Nothing more can be sent. */
  end(): void {
    this.#isOver = true
    this.#settle()
  }

  #isOpen(): boolean {
    return !this.#isOver && isUsable(this.#home)
  }

  #whenDrained(): void {
    const { stream } = this.#home
    if (stream.writableLength < HOLD_AT_BYTES) this.#settle()
    else stream.once('drain', () => this.#settle())
  }

  #settle(): void {
    const done = this.#pending
    this.#pending = undefined
    done?.()
  }
}
