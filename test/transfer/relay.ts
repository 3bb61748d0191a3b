import { PassThrough, Writable } from 'node:stream'
import { PacketDecoder, uint32 } from '../../src/transfer/sftp/codec.ts'
import type { Channel } from '../../src/transport/contract.ts'

/** What may be done in the middle. */
export interface RelayHooks {
  /** What the server gets in place of `packet`. Default: the packet itself. */
  readonly onRequest?: (packet: Buffer, relay: Relay) => readonly Buffer[]
  /** What the client gets in place of `packet`. Default: the packet itself. */
  readonly onReply?: (packet: Buffer, relay: Relay) => readonly Buffer[]
}

/** The way back for a hook. */
export interface Relay {
  /** Sends a packet to the client. */
  reply(packet: Buffer): void
  /** Breaks the connection. */
  cut(): void
}

/** `channel` with something in the middle that sees every packet. */
export function relayed(channel: Channel, hooks: RelayHooks): Channel {
  const stdout = new PassThrough()
  const relay: Relay = {
    reply: (packet) => void stdout.write(framed(packet)),
    cut: () => {
      channel.close()
      stdout.end()
    },
  }
  const requests = new PacketDecoder()
  const replies = new PacketDecoder()
  const stdin = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const packet of requests.push(chunk)) {
        for (const passed of hooks.onRequest?.(packet, relay) ?? [packet]) channel.stdin.write(framed(passed))
      }
      done()
    },
  })
  channel.stdout.on('data', (chunk: Buffer) => {
    for (const packet of replies.push(chunk)) {
      for (const passed of hooks.onReply?.(packet, relay) ?? [packet]) if (!stdout.writableEnded) stdout.write(framed(passed))
    }
  })
  channel.stdout.once('end', () => stdout.end())
  return { ...channel, stdin, stdout }
}

/** A packet with its length in front. */
export function framed(packet: Buffer): Buffer {
  return Buffer.concat([uint32(packet.length), packet])
}

/** The type of a packet. */
export function typeOf(packet: Buffer): number {
  return packet.readUInt8(0)
}

/** A STATUS packet in answer to `request`. */
export function statusReply(request: Buffer, code: number): Buffer {
  return Buffer.concat([Buffer.from([101]), request.subarray(1, 5), uint32(code), uint32(0), uint32(0)])
}
