import type { Duplex } from 'node:stream'
import type { RemexError } from '../../core/errors.ts'
import type { HostKey } from '../../core/host-key.ts'
import { printable } from '../../core/printable.ts'
import { sshString, uint32 } from '../../core/ssh-wire.ts'
import { closedByUs, notAnswered, notOpened, notStarted, refuseTooLong, type ChannelRequest } from '../channel-request.ts'
import type { Channel, Connection, ConnectionInfo, PtyOptions } from '../contract.ts'
import { endpoint, peerError, type Peer } from '../peer.ts'
import { ExecChannel } from './mux/exec-channel.ts'
import { forwardChannel } from './mux/forward-channel.ts'
import type { Line } from './mux/line.ts'
import type { MuxChannel } from './mux/mux-channel.ts'
import { ptyRequest } from './mux/pty.ts'
import type { WindowTiming } from './mux/window.ts'

/**
 * ssh keeps what it noted of a channel that the server refused to open, and ends itself at 16,384 of them (channels.c,
 * channel_input_open_failure). A connection with so many takes no more channels; another takes its place.
 */
const MOST_REFUSALS = 4096

/** A master, as its connection needs it. */
export interface ConnectedMaster {
  /** Another connection to its control socket. Rejects where that is gone. */
  readonly openLine: (timing: WindowTiming) => Promise<Line>
  /** Why it is gone: what ssh said at its end, or `violation`, for which we ended it. */
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
  readonly #peer: Peer
  readonly #master: ConnectedMaster
  readonly #roundTrip: RoundTrip
  readonly #line: Line
  /**
   * Lines of subsystems that are over. They stay for the next: when a line goes on which the server refused a channel, ssh wants to
   * close that channel, and ends itself because it never was one (nchan.c, chan_send_close2).
   */
  readonly #spareLines: Line[] = []
  #lastNumber = 0
  #refusals = 0
  #isOurs = false
  #isClosed = false
  /** What the server did on another line than ours. */
  #violation: string | undefined
  #cause: RemexError | undefined

  private constructor(line: Line, roundTrip: RoundTrip, { info, peer, master }: ConnectionParts) {
    this.info = info
    this.#line = line
    this.#roundTrip = roundTrip
    this.#peer = peer
    this.#master = master
    this.closed = this.#closing()
  }

  /** Connects to a master that is logged in. */
  static async over(parts: ConnectionParts): Promise<MuxConnection> {
    const roundTrip = new RoundTrip()
    return new MuxConnection(await parts.master.openLine(roundTrip), roundTrip, parts)
  }

  get isClosed(): boolean {
    return this.#isClosed || this.#refusals >= MOST_REFUSALS
  }

  async exec(command: string, options: { readonly pty?: PtyOptions } = {}): Promise<Channel> {
    refuseTooLong(this.#peer, command)
    const request: ChannelRequest = { what: 'command', text: 'the command' }
    return this.#session(this.#line, request, { pty: options.pty, name: 'exec', argument: command })
  }

  /**
   * Files go over a line of their own: what comes in faster than we take it is appended by ssh to one buffer for each line, at a cost
   * that grows with the square of it.
   */
  async subsystem(name: string): Promise<Channel> {
    if (this.#isClosed) throw this.#lost(false)
    const own = await this.#ownLine()
    const request: ChannelRequest = { what: 'subsystem', text: `subsystem ${printable(name)}` }
    const spare = (): void => { if (own?.isOpen === true) this.#spareLines.push(own) }
    try {
      const channel = await this.#session(own ?? this.#line, request, { pty: undefined, name: 'subsystem', argument: name })
      void channel.closed.then(spare)
      return channel
    } catch (error) {
      spare()
      throw error
    }
  }

  provenHostKeys(): Promise<readonly HostKey[]> {
    return this.#master.provenHostKeys()
  }

  async forward(address: string, port: number): Promise<Duplex> {
    const request: ChannelRequest = { what: 'forward', text: `a connection to ${endpoint(address, port)}` }
    const { mux, stream } = forwardChannel(this.#number(), this.#line.home)
    const origin = [sshString('127.0.0.1'), uint32(0)]
    await this.#open(mux, request, { line: this.#line, type: 'direct-tcpip', rest: Buffer.concat([sshString(address), uint32(port), ...origin]) })
    return stream
  }

  close(): void {
    if (this.#isOurs) return
    this.#isOurs = true
    this.#isClosed = true
    this.#master.end()
    this.#line.close()
  }

  async #session(line: Line, request: ChannelRequest, { pty, name, argument }: { readonly pty: PtyOptions | undefined; readonly name: string; readonly argument: string }): Promise<Channel> {
    const channel = new ExecChannel(this.#number(), line.home)
    await this.#open(channel.mux, request, { line, type: 'session' })
    const terminal = pty ? await channel.mux.ask('pty-req', ptyRequest(pty)) : 'success'
    const answer = terminal === 'success' && line.isOpen ? await this.#roundTrip.of(channel.mux.ask(name, sshString(argument))) : 'unsent'
    if (answer === 'success') {
      channel.mux.widen()
      return channel
    }
    channel.close()
    if (answer === 'failure') throw notStarted(this.#peer, request)
    if (answer === 'gone') throw channel.mux.isLost ? this.#lost(request.what === 'command') : notAnswered(this.#peer, request)
    if (!line.isOpen) throw this.#lost(false)
    throw notOpened(this.#peer, request, { reason: 0, text: terminal === 'failure' ? 'it gives no terminal' : 'it closed the channel' })
  }

  async #open(mux: MuxChannel, request: ChannelRequest, { line, type, rest }: { readonly line: Line; readonly type: string; readonly rest?: Buffer }): Promise<void> {
    if (this.#isClosed || !line.isOpen) throw this.#lost(false)
    line.carry(mux)
    const opening = await this.#roundTrip.of(mux.open(type, rest))
    if (opening.kind === 'lost') throw this.#lost(false)
    if (opening.kind !== 'refused') return
    this.#refusals++
    throw notOpened(this.#peer, request, { reason: opening.reason, text: printable(opening.text.trim().slice(0, 200)) })
  }

  async #ownLine(): Promise<Line | undefined> {
    for (let spare = this.#spareLines.pop(); spare !== undefined; spare = this.#spareLines.pop()) if (spare.isOpen) return spare
    const line = await this.#master.openLine(this.#roundTrip).catch(() => undefined)
    void line?.closed.then((violation) => { if (violation !== undefined) this.#violated(violation) })
    return line
  }

  #number(): number {
    this.#lastNumber = (this.#lastNumber + 1) >>> 0
    return this.#lastNumber
  }

  /** The error of a request that the end of the connection overtook. */
  #lost(mayHaveRun: boolean): RemexError {
    if (this.#isOurs) return closedByUs(this.#peer, mayHaveRun)
    return peerError('CONNECTION_LOST', this.#peer, 'the connection broke', { cause: this.#cause, mayHaveRun })
  }

  #violated(violation: string): void {
    this.#violation ??= violation
    this.#line.close()
  }

  async #closing(): Promise<RemexError | null> {
    const violation = (await this.#line.closed) ?? this.#violation
    this.#isClosed = true
    this.#cause = this.#isOurs ? undefined : await this.#master.lost(this.#peer, violation)
    this.#master.end()
    return this.#cause ?? null
  }
}

/** Every answer shows what a round trip to the server takes at most; the shortest comes near to it. */
class RoundTrip implements WindowTiming {
  #shortestMs = Infinity

  nowMs(): number {
    return performance.now()
  }

  roundTripMs(): number {
    return this.#shortestMs === Infinity ? 0 : this.#shortestMs
  }

  /** What `answer` comes to, timed. */
  async of<T>(answer: Promise<T>): Promise<T> {
    const startMs = this.nowMs()
    const what = await answer
    this.#shortestMs = Math.min(this.#shortestMs, this.nowMs() - startMs)
    return what
  }
}
