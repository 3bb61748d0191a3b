import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { RemexError } from '../../core/errors.ts'
import type { HostKey } from '../../core/host-key.ts'
import { printable } from '../../core/printable.ts'
import { closedByUs, notAnswered, notOpened, notStarted, refuseTooLong, type ChannelRequest } from '../channel-request.ts'
import type { Channel, Connection, ConnectionInfo, PtyOptions } from '../contract.ts'
import { endpoint, peerError, type Peer } from '../peer.ts'
import { ExecChannel } from './mux/exec-channel.ts'
import { forwardChannel } from './mux/forward-channel.ts'
import { readMessage } from './mux/messages.ts'
import type { ChannelHome, MuxChannel } from './mux/mux-channel.ts'
import { ptyRequest } from './mux/pty.ts'
import { string, uint32 } from './mux/wire.ts'

/** Bytes waiting in the socket at which channels stop writing. */
const HOLD_AT_BYTES = 1024 * 1024

/**
 * ssh keeps what it noted of a channel that the server refused to open, and ends itself at 16,384 of them (channels.c,
 * channel_input_open_failure). A connection with so many takes no more channels; another takes its place.
 */
const MOST_REFUSALS = 4096

/** A master, as its connection needs it. */
export interface ConnectedMaster {
  /** What ssh says of why it ended; called when the socket has. */
  readonly lost: (peer: Peer, violation: string | undefined) => Promise<RemexError>
  /** Ends it, and removes what it left. Safe to repeat. */
  readonly end: () => void
  /** The host's keys, as far as it proved them. */
  readonly provenHostKeys: () => Promise<readonly HostKey[]>
}

/** An open connection and what it was made of. */
export interface ConnectionParts {
  readonly info: ConnectionInfo
  readonly peer: Peer
  readonly master: ConnectedMaster
}

/** A connection that the machine's `ssh` holds; its channels pass through the control socket. */
export class MuxConnection implements Connection {
  readonly info: ConnectionInfo
  readonly closed: Promise<RemexError | null>
  readonly #socket: Socket
  readonly #peer: Peer
  readonly #master: ConnectedMaster
  readonly #home: ChannelHome
  readonly #channels = new Map<number, MuxChannel>()
  #next = 0
  #refusals = 0
  #roundTripMs = Infinity
  #isOurs = false
  #isClosed = false
  #cause: RemexError | undefined
  #violation: string | undefined

  constructor(socket: Socket, { info, peer, master }: ConnectionParts) {
    this.info = info
    this.#socket = socket
    this.#peer = peer
    this.#master = master
    socket.setMaxListeners(0)
    this.#home = {
      send: (head, body) => this.#send(head, body),
      whenRoomy: (then) => this.#whenRoomy(then),
      timing: { nowMs: () => performance.now(), roundTripMs: () => (this.#roundTripMs === Infinity ? 0 : this.#roundTripMs) },
      onViolation: (what) => this.#violated(`the server ${what}`),
      onOver: ({ number }) => void this.#channels.delete(number),
    }
    this.closed = this.#closing()
  }

  get isClosed(): boolean {
    return this.#isClosed || this.#refusals >= MOST_REFUSALS
  }

  async exec(command: string, options: { readonly pty?: PtyOptions } = {}): Promise<Channel> {
    refuseTooLong(this.#peer, command)
    return this.#session({ what: 'command', text: 'the command' }, { pty: options.pty, name: 'exec', argument: command })
  }

  subsystem(name: string): Promise<Channel> {
    return this.#session({ what: 'subsystem', text: `subsystem ${printable(name)}` }, { pty: undefined, name: 'subsystem', argument: name })
  }

  provenHostKeys(): Promise<readonly HostKey[]> {
    return this.#master.provenHostKeys()
  }

  async forward(address: string, port: number): Promise<Duplex> {
    const request: ChannelRequest = { what: 'forward', text: `a connection to ${endpoint(address, port)}` }
    const { mux, stream } = forwardChannel(this.#number(), this.#home)
    const origin = [string('127.0.0.1'), uint32(0)]
    await this.#open(mux, request, { type: 'direct-tcpip', rest: Buffer.concat([string(address), uint32(port), ...origin]) })
    return stream
  }

  close(): void {
    if (this.#isOurs) return
    this.#isOurs = true
    this.#isClosed = true
    this.#master.end()
    this.#socket.destroy()
  }

  async #session(request: ChannelRequest, { pty, name, argument }: { readonly pty: PtyOptions | undefined; readonly name: string; readonly argument: string }): Promise<Channel> {
    const channel = new ExecChannel(this.#number(), this.#home)
    await this.#open(channel.mux, request, { type: 'session' })
    if (pty && (await channel.mux.ask('pty-req', ptyRequest(pty))) === 'failure') {
      channel.close()
      throw notOpened(this.#peer, request, { reason: 0, text: 'it gives no terminal' })
    }
    const answer = await channel.mux.ask(name, string(argument))
    if (answer === 'success') return channel
    if (answer === 'gone') throw channel.mux.isLost ? this.#lost(request.what === 'command') : notAnswered(this.#peer, request)
    channel.close()
    throw notStarted(this.#peer, request)
  }

  async #open(mux: MuxChannel, request: ChannelRequest, { type, rest }: { readonly type: string; readonly rest?: Buffer }): Promise<void> {
    if (this.#isClosed) throw this.#lost(false)
    this.#channels.set(mux.number, mux)
    const startMs = performance.now()
    const opening = await mux.open(type, rest)
    if (opening.kind === 'lost') throw this.#lost(false)
    this.#roundTripMs = Math.min(this.#roundTripMs, performance.now() - startMs)
    if (opening.kind !== 'refused') return
    this.#refusals++
    throw notOpened(this.#peer, request, { reason: opening.reason, text: printable(opening.text.trim().slice(0, 200)) })
  }

  #number(): number {
    this.#next = (this.#next + 1) >>> 0
    return this.#next
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
    if (this.#socket.destroyed || this.#socket.writableLength < HOLD_AT_BYTES) then()
    else this.#socket.once('drain', then)
  }

  /** Takes a frame of the master. */
  receive(frame: Buffer): void {
    try {
      const found = readMessage(frame)
      if (found) this.#channels.get(found.channel)?.receive(found.message)
    } catch {
      this.garbage('a packet that cannot be read')
    }
  }

  /** What came is not the connection protocol. */
  garbage(what: string): void {
    this.#violated(`ssh passes on ${what}`)
  }

  #violated(what: string): void {
    this.#violation ??= what
    this.#socket.destroy()
  }

  /** The error of a request that the end of the connection overtook. */
  #lost(mayHaveRun: boolean): RemexError {
    if (this.#isOurs) return closedByUs(this.#peer, mayHaveRun)
    return peerError('CONNECTION_LOST', this.#peer, this.#violation ?? 'the connection broke', { cause: this.#cause, mayHaveRun })
  }

  #closing(): Promise<RemexError | null> {
    return new Promise((resolve) => {
      this.#socket.on('error', () => undefined)
      this.#socket.once('close', () => {
        this.#isClosed = true
        for (const channel of [...this.#channels.values()]) channel.lose()
        const cause = this.#isOurs ? Promise.resolve(null) : this.#master.lost(this.#peer, this.#violation)
        void cause.then((error) => {
          this.#cause = error ?? undefined
          this.#master.end()
          resolve(error)
        })
      })
    })
  }
}
