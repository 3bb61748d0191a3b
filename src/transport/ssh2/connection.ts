import type { Duplex } from 'node:stream'
import type { Client, ClientChannel, PseudoTtyOptions } from 'ssh2'
import type { RemexError } from '../../core/errors.ts'
import type { HostKey } from '../../core/host-key.ts'
import { printable } from '../../core/printable.ts'
import type { Channel, Connection, ConnectionInfo, ConnectTarget, PtyOptions } from '../contract.ts'
import { closedByUs, notAnswered, notOpened, notStarted, refuseTooLong, type ChannelRequest } from '../channel-request.ts'
import { endpoint, type Peer } from '../peer.ts'
import { Ssh2Channel } from './channel.ts'
import type { ChannelHome } from './channel-home.ts'
import { lostError, openFailure } from './classify.ts'
import { sayGoodbye } from './goodbye.ts'
import { forwardStream } from './forward.ts'
import { ProvenHostKeys } from './host-keys.ts'
import { closeChannel, nextChannelNumber } from './internals.ts'
import { KEEPALIVE_COUNT, watchLife } from './keepalive.ts'

/** An open connection and what it was made of. */
export interface ConnectionParts {
  readonly client: Client
  readonly info: ConnectionInfo
  readonly stream: Duplex
  readonly target: Peer & Pick<ConnectTarget, 'keepaliveIntervalMs' | 'wantsHostKeys'>
}

/** What a channel is asked for, and how. */
interface Request extends ChannelRequest {
  readonly start: (done: (error: Error | undefined, channel: ClientChannel) => void) => void
}

/** A connection of the ssh2 engine. */
export class Ssh2Connection implements Connection {
  readonly info: ConnectionInfo
  readonly closed: Promise<RemexError | null>
  readonly #client: Client
  readonly #stream: Duplex
  readonly #peer: Peer
  readonly #home: ChannelHome
  readonly #hostKeys: ProvenHostKeys | undefined
  #cause: RemexError | undefined
  #isOurs = false
  #isClosed = false

  constructor({ client, info, stream, target }: ConnectionParts) {
    this.info = info
    this.#client = client
    this.#hostKeys = target.wantsHostKeys === true ? new ProvenHostKeys(client) : undefined
    this.#stream = stream
    this.#peer = { vmId: target.vmId, address: target.address, port: target.port }
    this.#home = { stream, onFlood: () => this.#lose(new Error('the server sends more than the channel window allows')) }
    // Channels wait for it, many at once.
    stream.setMaxListeners(0)
    this.closed = this.#closing()
    watchLife(stream, target.keepaliveIntervalMs, () => this.#lose(new Error(`the server missed ${KEEPALIVE_COUNT} keepalives`)))
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  async exec(command: string, options: { readonly pty?: PtyOptions } = {}): Promise<Channel> {
    refuseTooLong(this.#peer, command)
    const pty = options.pty === undefined ? {} : { pty: ptyOf(options.pty) }
    const channel = await this.#open({
      what: 'command',
      text: 'the command',
      start: (done) => this.#client.exec(command, pty, done),
    }, (opened) => new Ssh2Channel(opened, this.#home))
    return channel
  }

  subsystem(name: string): Promise<Channel> {
    const request: Request = { what: 'subsystem', text: `subsystem ${printable(name)}`, start: (done) => this.#client.subsys(name, done) }
    return this.#open(request, (opened) => new Ssh2Channel(opened, this.#home))
  }

  async provenHostKeys(): Promise<readonly HostKey[]> {
    return (await this.#hostKeys?.get()) ?? []
  }

  forward(address: string, port: number): Promise<Duplex> {
    const request: Request = {
      what: 'forward',
      text: `a connection to ${endpoint(address, port)}`,
      start: (done) => this.#client.forwardOut('127.0.0.1', 0, address, port, done),
    }
    return this.#open(request, (opened) => forwardStream(opened, this.#home))
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#isOurs = true
    sayGoodbye(this.#client, this.#stream)
  }

  /** `adopt` runs in ssh2's own callback: what comes right after it would be missed otherwise. */
  #open<T>(request: Request, adopt: (channel: ClientChannel) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(this.#lost(false))
      const number = nextChannelNumber(this.#client)
      try {
        request.start((error, channel) => {
          if (error === undefined) resolve(adopt(channel))
          else reject(this.#openError(request, error, number))
        })
      } catch (error) {
        // ssh2 throws when the stream cannot be written to any more.
        reject(lostError(this.#peer, error))
      }
    })
  }

  #openError(request: Request, error: Error, number: number | undefined): RemexError {
    const failure = openFailure(error)
    const isDead = this.#isClosed || this.#stream.destroyed
    if (isDead || failure.kind === 'unsent') return this.#lost(failure.kind === 'unanswered' && request.what === 'command')
    if (failure.kind === 'refused') return notOpened(this.#peer, request, { ...failure, cause: error })
    const isRefusal = closeChannel(this.#client, number)
    return isRefusal ? notStarted(this.#peer, request, error) : notAnswered(this.#peer, request, error)
  }

  /** The error of a request that the end of the connection overtook. */
  #lost(mayHaveRun: boolean): RemexError {
    return this.#isOurs ? closedByUs(this.#peer, mayHaveRun) : lostError(this.#peer, this.#cause?.cause, mayHaveRun)
  }

  #closing(): Promise<RemexError | null> {
    return new Promise((resolve) => {
      this.#client.on('error', (error) => this.#lose(error))
      this.#client.on('close', () => {
        this.#isClosed = true
        resolve(this.#isOurs ? null : (this.#cause ?? lostError(this.#peer, undefined)))
      })
    })
  }

  /** The connection is of no use any more. The first cause is the one that is told. */
  #lose(error: Error): void {
    this.#isClosed = true
    this.#cause ??= lostError(this.#peer, error)
    this.#stream.destroy()
  }
}

function ptyOf({ term = 'xterm-256color', columns = 80, rows = 24, modes = {} }: PtyOptions): PseudoTtyOptions {
  return { term, cols: columns, rows, width: 0, height: 0, modes: { ...modes } }
}
