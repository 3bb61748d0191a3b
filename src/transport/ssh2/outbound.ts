import type { Duplex } from 'node:stream'
import type { ClientChannel } from 'ssh2'

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
  readonly #connection: Duplex
  #pending: Done | undefined
  #isOver = false

  constructor(channel: ClientChannel, connection: Duplex) {
    this.#channel = channel
    this.#connection = connection
    // ssh2 never calls back for a chunk that it had when the server closed the channel.
    channel.once('close', () => this.end())
  }

  /** Calls `done` when the next chunk may come. */
  write(chunk: Buffer, done: Done): void {
    if (this.#isOver) return done()
    this.#pending = done
    this.#channel.write(chunk, () => this.#whenDrained())
  }

  /** Sends EOF after what was written. */
  finish(): void {
    if (!this.#isOver) this.#channel.end()
  }

  /** Nothing more can be sent. */
  end(): void {
    this.#isOver = true
    this.#settle()
  }

  #whenDrained(): void {
    if (this.#connection.writableLength < HOLD_AT_BYTES) return this.#settle()
    this.#connection.once('drain', () => this.#settle())
  }

  #settle(): void {
    const done = this.#pending
    this.#pending = undefined
    done?.()
  }
}
