import type { Readable, Writable } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { inputStream } from '../channel-streams.ts'
import type { Channel, ChannelExit } from '../contract.ts'
import { isUsable, type ChannelHome } from './channel-home.ts'
import { Inbound, inboundStream } from './inbound.ts'
import { sendSignal } from './internals.ts'
import { Outbound } from './outbound.ts'

/** A session channel of ssh2 as ours. Make it in the very callback that ssh2 hands the channel to, or data is missed. */
export class Ssh2Channel implements Channel {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly exit: Promise<ChannelExit>
  readonly closed: Promise<void>
  readonly #channel: ClientChannel
  readonly #home: ChannelHome
  readonly #inbound: Inbound

  constructor(channel: ClientChannel, home: ChannelHome) {
    this.#channel = channel
    this.#home = home
    this.#inbound = new Inbound(channel, home)
    // Errors of these streams (a write after the end) say nothing that the promises do not say.
    channel.on('error', () => undefined)
    channel.stderr.on('error', () => undefined)
    this.exit = exitOf(channel)
    this.closed = new Promise((resolve) => channel.once('close', () => resolve()))
    this.stdin = inputStream(new Outbound(channel, home))
    this.stdout = inboundStream(this.#inbound, channel)
    this.stderr = inboundStream(this.#inbound, channel.stderr)
  }

  get isOutputWhole(): boolean {
    return this.#inbound.isWhole
  }

  /** Throws `USAGE` for a name that SSH does not have (RFC 4254 section 6.10). */
  signal(name: string): void {
    try {
      if (isUsable(this.#home)) sendSignal(this.#channel, name)
    } catch (cause) {
      throw remexError('USAGE', `SSH has no signal ${printable(name)}`, { cause })
    }
  }

  close(): void {
    if (isUsable(this.#home)) this.#channel.close()
  }
}

function exitOf(channel: ClientChannel): Promise<ChannelExit> {
  return new Promise((resolve) => {
    channel.once('exit', (code: number | null, signal?: string) => {
      if (typeof code === 'number') resolve({ kind: 'exited', exitCode: code })
      // ssh2 puts SIG before whatever name the server sent.
      else resolve({ kind: 'signaled', signal: printable((signal ?? '').replace(/^SIG/, '').slice(0, 64)) })
    })
    channel.once('close', () => resolve({ kind: 'lost' }))
  })
}
