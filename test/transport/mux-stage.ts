import { expect } from 'vitest'
import { WireReader } from '../../src/core/ssh-wire.ts'
import { ExecChannel } from '../../src/transport/openssh/mux/exec-channel.ts'
import type { Line } from '../../src/transport/openssh/mux/line.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import { until } from '../../testkit/until.ts'
import { Puppet, type PuppetLine } from './mux-puppet.ts'

/** What a channel of a {@link Stage} is like; the numbers are those by which the puppet and we know it. */
export interface StageChannel {
  readonly remoteId?: number
  readonly number?: number
  readonly window?: number
  readonly maxPacket?: number
}

/** A line to a puppet, for channels to play on. */
export class Stage implements AsyncDisposable {
  readonly line: Line
  readonly far: PuppetLine
  readonly #puppet: Puppet

  private constructor(puppet: Puppet, { line, far }: { line: Line; far: PuppetLine }) {
    this.#puppet = puppet
    this.line = line
    this.far = far
  }

  static async start(): Promise<Stage> {
    const puppet = await Puppet.start()
    return new Stage(puppet, await puppet.line())
  }

  /** A channel that is asked for, with the answer that is to come. */
  opening(number: number): { channel: ExecChannel; opening: ReturnType<ExecChannel['mux']['open']> } {
    const channel = new ExecChannel(number, this.line.home)
    this.line.carry(channel.mux)
    return { channel, opening: channel.mux.open('session') }
  }

  /** A channel that the puppet has opened. */
  async opened({ number = 3, remoteId = 77, ...sizes }: StageChannel = {}): Promise<ExecChannel> {
    const index = this.far.all(MESSAGE.open).length
    const { channel, opening } = this.opening(number)
    await this.far.confirm({ index, remoteId, ...sizes })
    expect(await opening).toEqual({ kind: 'opened' })
    return channel
  }

  /** What we sent before on this channel, which is open, is with the puppet when this is. */
  async roundTrip(channel: ExecChannel): Promise<void> {
    const index = this.far.all(MESSAGE.request).length
    channel.mux.tell('marker', Buffer.alloc(0))
    await this.far.came(MESSAGE.request, index)
  }

  /** Ends the line; the types of all packets that came on it. */
  async ended(): Promise<readonly number[]> {
    this.line.close()
    await until(() => this.far.socket.closed, { what: 'the end of the line' })
    return this.far.packets.map(({ type }) => type)
  }

  /** The data that came to the puppet so far, and in packets of which sizes. */
  input(): { readonly data: Buffer; readonly sizes: readonly number[] } {
    const packets = this.far.all(MESSAGE.data).map(({ body }) => {
      const reader = new WireReader(body)
      reader.uint32()
      return reader.string()
    })
    return { data: Buffer.concat(packets), sizes: packets.map(({ length }) => length) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.line.close()
    await this.#puppet.close()
  }
}
