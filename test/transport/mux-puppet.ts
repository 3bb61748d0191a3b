import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { sshString, uint32, WireReader } from '../../src/core/ssh-wire.ts'
import { Line } from '../../src/transport/openssh/mux/line.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import type { WindowTiming } from '../../src/transport/openssh/mux/window.ts'
import { until } from '../../testkit/until.ts'
import { listenOnSocket, type SocketListener } from './mux-listener.ts'

const HELLO = 1
const ALIVE_CHECK = 0x10000004
const ALIVE = 0x80000005
const PROXY_READY = 0x8000000f
const FAILURE = 0x80000003

/** What a puppet says of itself. */
export interface PuppetOptions {
  /** Of the multiplexing protocol. Default: 4. */
  readonly version?: number
  /** What it answers to who wants to pass packets on: nothing, or no. Default: yes. */
  readonly proxy?: 'silent' | 'refused'
  /** Whom it names as the master. Default: a process that cannot be. */
  readonly pid?: number
}

/** The largest process id of any system is smaller. */
const NOBODY = 0x7ffffffe

/** A master that a test leads: it greets as `ssh` does, and says on each line what the test lets it say. */
export class Puppet implements AsyncDisposable {
  readonly lines: PuppetLine[]
  readonly #listener: SocketListener

  private constructor(listener: SocketListener, lines: PuppetLine[]) {
    this.#listener = listener
    this.lines = lines
  }

  static async start(options: PuppetOptions = {}): Promise<Puppet> {
    const lines: PuppetLine[] = []
    return new Puppet(await listenOnSocket((socket) => void lines.push(new PuppetLine(socket, options))), lines)
  }

  /** Of its control socket. */
  get path(): string {
    return this.#listener.path
  }

  /** A line of ours to it, and the same from its side. */
  async line(timing: WindowTiming = { nowMs: () => 0, roundTripMs: () => 0 }): Promise<{ line: Line; far: PuppetLine }> {
    const index = this.lines.length
    const socket = connect(this.path)
    await once(socket, 'connect')
    const line = await Line.open(socket, timing)
    return { line, far: this.far(index) }
  }

  /** The line that came as this one, from its side. */
  far(index = 0): PuppetLine {
    const line = this.lines[index]
    if (line === undefined) throw new Error(`there is no line ${index}`)
    return line
  }

  close(): Promise<void> {
    return this.#listener.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** A packet that came in. */
export interface Packet {
  readonly type: number
  /** After the type. */
  readonly body: Buffer
}

/** One line to a {@link Puppet}, from its side. */
export class PuppetLine {
  readonly socket: Socket
  /** What came since the greeting, in order. */
  readonly packets: Packet[] = []
  readonly #options: PuppetOptions
  #bytes = Buffer.alloc(0)
  #isReady = false

  constructor(socket: Socket, options: PuppetOptions) {
    this.socket = socket
    this.#options = options
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      while (this.#bytes.length >= 4 && this.#bytes.length >= 4 + this.#bytes.readUInt32BE(0)) {
        const end = 4 + this.#bytes.readUInt32BE(0)
        this.#take(this.#bytes.subarray(4, end))
        this.#bytes = this.#bytes.subarray(end)
      }
    })
    this.raw(sshString(Buffer.concat([uint32(HELLO), uint32(options.version ?? 4)])))
  }

  /** Sends bytes as they are. */
  raw(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  /** Sends a packet. */
  send(type: number, ...parts: readonly Buffer[]): void {
    this.raw(packetFrame(type, ...parts))
  }

  /** The packets of this type that came so far. */
  all(type: number): readonly Packet[] {
    return this.packets.filter((packet) => packet.type === type)
  }

  /** A reader of the packet of this type that came as this one, when it has come. */
  async came(type: number, index = 0): Promise<WireReader> {
    const packet = await until(() => this.all(type)[index], { what: `packet ${index} of type ${type}` })
    return new WireReader(packet.body)
  }

  /** Waits for a wish for a channel and confirms it; gives the number by which we know it. */
  async confirm({ index = 0, remoteId = 7, window = 1024 * 1024, maxPacket = 32 * 1024 } = {}): Promise<number> {
    const open = await this.came(MESSAGE.open, index)
    open.string()
    const number = open.uint32()
    this.send(MESSAGE.openConfirmation, uint32(number), uint32(remoteId), uint32(window), uint32(maxPacket))
    return number
  }

  #take(frame: Buffer): void {
    if (this.#isReady) return void this.packets.push({ type: frame[1] ?? 0, body: frame.subarray(2) })
    const message = new WireReader(frame)
    const type = message.uint32()
    if (type === HELLO) return
    const id = message.uint32()
    if (type === ALIVE_CHECK) return this.raw(sshString(Buffer.concat([uint32(ALIVE), uint32(id), uint32(this.#options.pid ?? NOBODY)])))
    const { proxy } = this.#options
    if (proxy === 'silent') return
    this.#isReady = proxy === undefined
    this.raw(sshString(Buffer.concat([uint32(proxy === undefined ? PROXY_READY : FAILURE), uint32(id)])))
  }
}

/** A packet as a master passes it on. */
export function packetFrame(type: number, ...parts: readonly Buffer[]): Buffer {
  return sshString(Buffer.concat([Buffer.from([0, type]), ...parts]))
}

/** A packet with data for a channel. */
export function dataFrame(channel: number, data: Buffer): Buffer {
  return packetFrame(MESSAGE.data, uint32(channel), sshString(data))
}

/** A packet with data for a channel, of another type than standard output. */
export function extendedFrame(channel: number, type: number, data: Buffer): Buffer {
  return packetFrame(MESSAGE.extendedData, uint32(channel), uint32(type), sshString(data))
}
