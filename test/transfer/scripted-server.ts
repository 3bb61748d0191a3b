import { PassThrough, Writable } from 'node:stream'
import { encodeAttributes } from '../../src/transfer/sftp/attributes.ts'
import type { DirectoryEntry } from '../../src/transfer/sftp/attributes.ts'
import { encodePacket, FieldReader, ID_AT, PacketDecoder, PacketType, text, uint32 } from '../../src/transfer/sftp/codec.ts'
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
  return { stdin, stdout, stderr: new PassThrough(), isOutputWhole: true, exit, closed, signal: () => undefined, close: shut }
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

/** A file of the host that is in memory. */
export interface MemoryFile {
  content: Buffer
}

/** Answers `request` as a server does that has only `file`, whatever it is called. */
export function serveFile(file: MemoryFile, request: Buffer, server: ScriptedServer): void {
  const fields = new FieldReader(request)
  const [type] = [fields.uint8(), fields.uint32()]
  if (type === PacketType.OPEN) return server.answer(request, PacketType.HANDLE, text('h'))
  if (type !== PacketType.READ && type !== PacketType.WRITE) return server.answer(request, PacketType.STATUS, status(0))
  const [, offset] = [fields.text(), fields.uint64()]
  if (type === PacketType.WRITE) {
    const data = fields.text()
    if (file.content.length < offset + data.length) file.content = Buffer.concat([file.content, Buffer.alloc(offset + data.length - file.content.length)])
    data.copy(file.content, offset)
    return server.answer(request, PacketType.STATUS, status(0))
  }
  const data = file.content.subarray(offset, offset + fields.uint32())
  if (data.length === 0) server.answer(request, PacketType.STATUS, status(1))
  else server.answer(request, PacketType.DATA, text(data))
}

/** `channel`, and the chunks that are written to it. */
export function recorded(channel: Channel): { readonly channel: Channel; readonly written: Buffer[] } {
  const written: Buffer[] = []
  const stdin = new Writable({
    write(chunk: Buffer, encoding, done) {
      written.push(chunk)
      channel.stdin.write(chunk, encoding, done)
    },
  })
  return { channel: { ...channel, stdin }, written }
}
