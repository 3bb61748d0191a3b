import { PassThrough, Writable } from 'node:stream'
import { encodeAttributes } from '../../src/transfer/sftp/attributes.ts'
import type { DirectoryEntry } from '../../src/transfer/sftp/attributes.ts'
import { encodePacket, ID_AT, PacketDecoder, text, uint32 } from '../../src/transfer/sftp/codec.ts'
import type { Channel } from '../../src/transport/contract.ts'
import { framed, typeOf } from './relay.ts'

/** The server's end, for a script. */
export interface ScriptedServer {
  /** Sends bytes as they are. */
  raw(bytes: Buffer): void
  /** Sends a packet in answer to `request`. */
  answer(request: Buffer, type: number, ...fields: Buffer[]): void
  /** Ends the channel from the server's side. */
  hangUp(): void
}

/** A channel whose server is `script`, called for every request. It greets by itself unless `greets` is false. */
export function scriptedChannel(script: (request: Buffer, server: ScriptedServer) => void, greets = true): Channel {
  const stdout = new PassThrough()
  let close = (): void => undefined
  const closed = new Promise<void>((resolve) => {
    close = resolve
  })
  const write = (bytes: Buffer): void => {
    if (!stdout.writableEnded) stdout.write(bytes)
  }
  const server: ScriptedServer = {
    raw: write,
    answer: (request, type, ...fields) => write(framed(Buffer.concat([Buffer.from([type]), request.subarray(1, 5), ...fields]))),
    hangUp: () => void stdout.end(),
  }
  const decoder = new PacketDecoder()
  const stdin = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const packet of decoder.push(chunk)) {
        if (typeOf(packet) === 1 && greets) write(VERSION)
        else script(packet, server)
      }
      done()
    },
  })
  const shut = (): void => {
    stdout.end()
    close()
  }
  const exit = closed.then(() => ({ kind: 'lost' }) as const)
  return { stdin, stdout, stderr: new PassThrough(), exit, closed, signal: () => undefined, close: shut }
}

const VERSION = framed(Buffer.concat([Buffer.from([2]), uint32(3)]))

/** Fields of a STATUS packet. */
export function status(code: number, message = ''): Buffer {
  return Buffer.concat([uint32(code), text(message), text('en')])
}

/** The fields of a NAME packet. */
export function encodeNames(entries: readonly DirectoryEntry[]): Buffer {
  const parts = entries.flatMap(({ name, attributes }) => [text(name), text(name), encodePacket(0, encodeAttributes(attributes)).subarray(ID_AT)])
  return Buffer.concat([uint32(entries.length), ...parts])
}
