import { sshString, uint32, type WireReader } from '../../../core/ssh-wire.ts'
import type { Sink } from '../../sink.ts'
import { FIRST_WINDOW_BYTES, ReceiveWindow, type WindowTiming } from './window.ts'
import { frame, frameHead, MESSAGE, requestFrame, type ChannelMessage, type DataKind } from './messages.ts'

/** The largest packet that we take. Source: OpenSSH channels.h, CHAN_SES_PACKET_DEFAULT. */
const MAX_PACKET_BYTES = 32 * 1024

/** What a channel needs of its connection. */
export interface ChannelHome {
  /** Sends a frame, or two pieces of one; goes nowhere when the connection is gone. */
  readonly send: (head: Buffer, body?: Buffer) => void
  /** Calls `then` as soon as what was sent has left, but for a little, or never will. */
  readonly whenRoomy: (then: () => void) => void
  readonly timing: WindowTiming
  /** The server sent what it must not send. */
  readonly onViolation: (what: string) => void
  /** The channel is over; its number may be forgotten. */
  readonly onOver: (channel: MuxChannel) => void
}

/** What a channel does with what it receives. */
export interface ChannelEnds {
  readonly stdout: Sink
  readonly stderr: Sink
  /** A request that the server makes, as `exit-status`. */
  readonly onRequest: (name: string, rest: WireReader) => void
}

/** How the server took the wish for a channel. `lost`: the connection ended before its answer. */
export type Opening = { readonly kind: 'opened' | 'lost' } | { readonly kind: 'refused'; readonly reason: number; readonly text: string }

/** How the server took a request. `gone`: it closed the channel, or the connection ended; `unsent`: that was before. */
export type Answer = 'success' | 'failure' | 'gone' | 'unsent'

/** One channel of the connection protocol, with its windows. Source: RFC 4254 section 5. */
export class MuxChannel {
  readonly number: number
  /** Settles when both sides have closed it, or the connection is gone. */
  readonly over: Promise<void>
  readonly #home: ChannelHome
  readonly #ends: ChannelEnds
  readonly #window: ReceiveWindow
  readonly #full = new Set<Sink>()
  #settle: () => void = () => undefined
  #onOpening: (opening: Opening) => void = () => undefined
  readonly #answers: ((answer: Answer) => void)[] = []
  #remoteId: number | undefined
  #remoteWindow = 0
  #remoteMaxPacket = 0
  #unsent: { readonly chunk: Buffer; readonly done: () => void } | undefined
  #isEofSent = false
  #isCloseSent = false
  #isEnded = false
  #isWhole = false
  #isOver = false
  #isLost = false

  constructor(number: number, home: ChannelHome, ends: ChannelEnds) {
    this.number = number
    this.#home = home
    this.#ends = ends
    this.#window = new ReceiveWindow(home.timing)
    this.over = new Promise((resolve) => { this.#settle = resolve })
  }

  /** Whether the server ended its output. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  /** Whether it ended because its connection did. */
  get isLost(): boolean {
    return this.#isLost
  }

  /** Asks the server to open it. Call it once, before anything else. */
  open(type: string, rest: Buffer = Buffer.alloc(0)): Promise<Opening> {
    return new Promise((resolve) => {
      this.#onOpening = resolve
      this.#home.send(frame(MESSAGE.open, sshString(type), uint32(this.number), uint32(FIRST_WINDOW_BYTES), uint32(MAX_PACKET_BYTES), rest))
    })
  }

  /** Makes a request and resolves with the answer. */
  ask(name: string, rest: Buffer): Promise<Answer> {
    return new Promise((resolve) => {
      if (!this.#isOpen()) return resolve('unsent')
      this.#answers.push(resolve)
      this.#tell(name, { wantsReply: true, rest })
    })
  }

  /** Makes a request that wants no answer. */
  tell(name: string, rest: Buffer): void {
    if (this.#isOpen()) this.#tell(name, { wantsReply: false, rest })
  }

  /** Sends data and calls `done` when more may come: one chunk at a time. What cannot be sent any more is discarded. */
  write(chunk: Buffer, done: () => void): void {
    if (!this.#isOpen() || this.#isEofSent) return done()
    this.#unsent = { chunk, done }
    this.#pump()
  }

  /** Sends EOF. */
  finish(): void {
    if (!this.#isOpen() || this.#isEofSent) return
    this.#isEofSent = true
    this.#send(MESSAGE.eof)
  }

  /** It is known how long the way is: what may come first can be as much as that takes. */
  widen(): void {
    this.#giveBack()
  }

  /** A sink has room again. */
  release(sink: Sink): void {
    if (this.#full.delete(sink)) this.#giveBack()
  }

  /** Closes our side. */
  close(): void {
    if (!this.#isOpen()) return
    this.#isCloseSent = true
    this.#discard()
    this.#send(MESSAGE.close)
  }

  /** The connection is gone. */
  lose(): void {
    this.#isLost = true
    this.#onOpening({ kind: 'lost' })
    this.#finishOver()
  }

  /** Takes what the server says. */
  receive(message: ChannelMessage): void {
    switch (message.kind) {
      case 'confirmed':
        return this.#confirm(message)
      case 'refused':
        this.#onOpening(message)
        return this.#finishOver()
      case 'adjust':
        this.#remoteWindow = Math.min(this.#remoteWindow + message.bytes, 0xffffffff)
        return this.#pump()
      case 'success':
      case 'failure':
        return this.#answers.shift()?.(message.kind)
      case 'request':
        return this.#onRequest(message)
      case 'eof':
        return this.#endStreams()
      case 'close':
        return this.#onClose()
    }
  }

  #confirm({ remoteId, window, maxPacket }: Extract<ChannelMessage, { kind: 'confirmed' }>): void {
    if (this.#remoteId !== undefined) return this.#home.onViolation('confirms a channel twice')
    this.#remoteId = remoteId
    this.#remoteWindow = window
    this.#remoteMaxPacket = maxPacket
    this.#onOpening({ kind: 'opened' })
  }

  /** Takes data, as much as is there. */
  take(kind: DataKind, data: Buffer): void {
    if (!this.#window.take(data.length)) return this.#home.onViolation('sends more than the channel window allows')
    const sink = kind === 'discard' || this.#isEnded ? undefined : this.#ends[kind]
    if (sink && data.length > 0 && !sink.take(data)) this.#full.add(sink)
    this.#giveBack()
  }

  /** The window is held while either stream is full: they share it. */
  #giveBack(): void {
    if (this.#full.size > 0 || this.#remoteId === undefined || this.#isCloseSent) return
    const bytes = this.#window.giveBack()
    if (bytes > 0) this.#home.send(frame(MESSAGE.windowAdjust, uint32(this.#remoteId), uint32(bytes)))
  }

  #onRequest({ name, wantsReply, rest }: Extract<ChannelMessage, { kind: 'request' }>): void {
    this.#ends.onRequest(name, rest)
    if (wantsReply && this.#isOpen()) this.#send(MESSAGE.failure)
  }

  #onClose(): void {
    // In place of a confirmation, where there was none.
    this.#onOpening({ kind: 'refused', reason: 0, text: 'it closed the channel' })
    if (this.#isOpen()) this.#send(MESSAGE.close)
    this.#isCloseSent = true
    this.#finishOver()
  }

  #pump(): void {
    while (this.#unsent && this.#isOpen()) {
      const { chunk, done } = this.#unsent
      const count = Math.min(chunk.length, this.#remoteWindow, this.#remoteMaxPacket)
      if (count === 0 && chunk.length > 0) return
      this.#sendData(chunk.subarray(0, count))
      if (count < chunk.length) {
        this.#unsent = { chunk: chunk.subarray(count), done }
      } else {
        this.#unsent = undefined
        this.#home.whenRoomy(done)
      }
    }
  }

  #sendData(data: Buffer): void {
    if (data.length === 0 || this.#remoteId === undefined) return
    this.#remoteWindow -= data.length
    const head = frameHead(MESSAGE.data, { before: 8, length: 8 + data.length })
    head.writeUInt32BE(this.#remoteId, 6)
    head.writeUInt32BE(data.length, 10)
    this.#home.send(head, data)
  }

  #send(type: number): void {
    if (this.#remoteId !== undefined) this.#home.send(frame(type, uint32(this.#remoteId)))
  }

  #tell(name: string, request: { readonly wantsReply: boolean; readonly rest: Buffer }): void {
    if (this.#remoteId !== undefined) this.#home.send(requestFrame(this.#remoteId, name, request))
  }

  #isOpen(): boolean {
    return this.#remoteId !== undefined && !this.#isCloseSent && !this.#isOver
  }

  #discard(): void {
    const unsent = this.#unsent
    this.#unsent = undefined
    unsent?.done()
  }

  #endStreams(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#isWhole = !this.#isLost
    this.#ends.stdout.take(null)
    this.#ends.stderr.take(null)
  }

  #finishOver(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#endStreams()
    this.#discard()
    for (const answer of this.#answers.splice(0)) answer('gone')
    this.#settle()
    this.#home.onOver(this)
  }
}
