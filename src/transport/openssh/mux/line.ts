import type { Socket } from 'node:net'
import { becomeProxy } from './control.ts'
import { readMessage } from './messages.ts'
import type { ChannelHome, MuxChannel } from './mux-channel.ts'
import type { WindowTiming } from './window.ts'

/** Bytes waiting in the socket at which channels stop writing. */
const HOLD_AT_BYTES = 1024 * 1024

/** One connection to a master's control socket, and the channels that pass through it. */
export class Line {
  /** Process id of the master. */
  readonly masterPid: number
  readonly home: ChannelHome
  /** Settles when it is gone, its channels with it: with what was wrong with it, if anything was. */
  readonly closed: Promise<string | undefined>
  readonly #socket: Socket
  readonly #channels = new Map<number, MuxChannel>()
  #violation: string | undefined

  private constructor(socket: Socket, { masterPid, timing }: { readonly masterPid: number; readonly timing: WindowTiming }) {
    this.#socket = socket
    this.masterPid = masterPid
    // Channels wait for it, many at once.
    socket.setMaxListeners(0)
    this.home = {
      send: (head, body) => this.#send(head, body),
      whenRoomy: (then) => this.#whenRoomy(then),
      timing,
      onViolation: (what) => this.#violated(`the server ${what}`),
      onOver: ({ number }) => void this.#channels.delete(number),
    }
    this.closed = new Promise((resolve) => {
      socket.on('error', () => undefined)
      socket.once('close', () => {
        for (const channel of [...this.#channels.values()]) channel.lose()
        resolve(this.#violation)
      })
    })
  }

  /** Makes one of a socket that is connected to a master. Rejects as {@link becomeProxy}; the socket is destroyed then. */
  static async open(socket: Socket, timing: WindowTiming): Promise<Line> {
    let line: Line | undefined
    try {
      const { masterPid } = await becomeProxy(socket, {
        onFrame: (frame) => { if (line) line.#receive(frame) },
        onData: ({ channel, kind }, part) => { if (line) line.#channels.get(channel)?.take(kind, part) },
        onGarbage: ({ message }) => { if (line) line.#violated(`ssh passes on ${message}`) },
      })
      line = new Line(socket, { masterPid, timing })
      return line
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed
  }

  /** What comes for this channel goes to it from now on. */
  carry(channel: MuxChannel): void {
    this.#channels.set(channel.number, channel)
  }

  /** Ends it. Safe to repeat. */
  close(): void {
    this.#socket.destroy()
  }

  #receive(frame: Buffer): void {
    try {
      const found = readMessage(frame)
      if (found) this.#channels.get(found.channel)?.receive(found.message)
    } catch {
      this.#violated('ssh passes on a packet that cannot be read')
    }
  }

  #violated(what: string): void {
    this.#violation ??= what
    this.#socket.destroy()
  }

  #send(head: Buffer, body: Buffer | undefined): void {
    if (this.#socket.destroyed) return
    if (!body) return void this.#socket.write(head)
    this.#socket.cork()
    this.#socket.write(head)
    this.#socket.write(body)
    this.#socket.uncork()
  }

  #whenRoomy(then: () => void): void {
    const socket = this.#socket
    if (socket.destroyed || socket.writableLength < HOLD_AT_BYTES) return then()
    // One that is destroyed meanwhile is never drained.
    const done = (): void => {
      socket.off('drain', done).off('close', done)
      then()
    }
    socket.on('drain', done).on('close', done)
  }
}
