import { remexError } from '../../core/errors.ts'
import type { RemexError } from '../../core/errors.ts'

/** The largest packet that is accepted: what OpenSSH sends at most (256 KiB), and a little. */
export const MAX_PACKET_BYTES = 256 * 1024 + 1024

/** Packet types. Source: draft-ietf-secsh-filexfer-02, section 3. */
export const PacketType = {
  INIT: 1,
  VERSION: 2,
  OPEN: 3,
  CLOSE: 4,
  READ: 5,
  WRITE: 6,
  LSTAT: 7,
  FSTAT: 8,
  SETSTAT: 9,
  FSETSTAT: 10,
  OPENDIR: 11,
  READDIR: 12,
  REMOVE: 13,
  MKDIR: 14,
  RMDIR: 15,
  REALPATH: 16,
  STAT: 17,
  RENAME: 18,
  READLINK: 19,
  SYMLINK: 20,
  STATUS: 101,
  HANDLE: 102,
  DATA: 103,
  NAME: 104,
  ATTRS: 105,
  EXTENDED: 200,
  EXTENDED_REPLY: 201,
} as const

/** What a server sent that is not SFTP. The connection it came over cannot be used any more. */
export function protocolError(detail: string): RemexError {
  return remexError('TRANSFER_FAILED', `the server broke the SFTP protocol: ${detail}`, {
    hint: 'The server or something between is faulty; the old file is untouched.',
  })
}

/** A field to encode: a number is a uint32, a bigint a uint64, anything else a string with its length in front (text as UTF-8). */
export type Field = number | bigint | string | Buffer

/**
 * A packet with its length in front, in one piece: thousands of small requests a second are made of this.
 * `dataBytes` is how much more of the same packet the caller sends after it, so that file content is not copied.
 */
export function encodePacket(type: number, fields: readonly Field[], dataBytes = 0): Buffer {
  let bodyBytes = 1
  for (const field of fields) bodyBytes += encodedBytes(field)
  const packet = Buffer.allocUnsafe(4 + bodyBytes)
  packet.writeUInt32BE(bodyBytes + dataBytes, 0)
  packet.writeUInt8(type, 4)
  let at = 5
  for (const field of fields) at = putField(packet, field, at)
  return packet
}

/** Where the request id of an encoded packet stands: its first field. */
export const ID_AT = 5

function encodedBytes(field: Field): number {
  if (typeof field === 'number') return 4
  if (typeof field === 'bigint') return 8
  return 4 + (typeof field === 'string' ? Buffer.byteLength(field) : field.length)
}

/** Returns where the next field begins. */
function putField(packet: Buffer, field: Field, at: number): number {
  if (typeof field === 'number') return packet.writeUInt32BE(field, at)
  if (typeof field === 'bigint') return packet.writeBigUInt64BE(field, at)
  const byteCount = typeof field === 'string' ? packet.write(field, at + 4) : field.copy(packet, at + 4)
  packet.writeUInt32BE(byteCount, at)
  return at + 4 + byteCount
}

/** A uint32 field. */
export function uint32(value: number): Buffer {
  return encodePacket(0, [value]).subarray(ID_AT)
}

/** A uint64 field. */
export function uint64(value: number): Buffer {
  return encodePacket(0, [BigInt(value)]).subarray(ID_AT)
}

/** A string field: length, then the bytes. */
export function text(bytes: Buffer | string): Buffer {
  return encodePacket(0, [bytes]).subarray(ID_AT)
}

/**
 * Cuts a stream of bytes into packets. Holds at most one packet; a length that no server may send is an error at once,
 * before anything is allocated for it. After an error it must not be used again.
 */
export class PacketDecoder {
  #length = 0
  #lengthBytes = 0
  #body: Buffer | undefined
  #filled = 0

  /** The packets that `chunk` completes, each from its type byte on. Throws `TRANSFER_FAILED` for an impossible length. */
  push(chunk: Buffer): Buffer[] {
    const packets: Buffer[] = []
    let at = 0
    while (at < chunk.length) {
      if (this.#body === undefined && this.#lengthBytes < 4) {
        this.#length = this.#length * 256 + chunk.readUInt8(at)
        at += 1
        this.#lengthBytes += 1
        if (this.#lengthBytes === 4) this.#checkLength()
      } else at += this.#takeBody(chunk, at, packets)
    }
    return packets
  }

  #checkLength(): void {
    if (this.#length >= 1 && this.#length <= MAX_PACKET_BYTES) return
    throw protocolError(`a packet of ${this.#length} bytes`)
  }

  /** Takes what belongs to the packet from `chunk`; returns how many bytes. */
  #takeBody(chunk: Buffer, at: number, packets: Buffer[]): number {
    if (this.#body === undefined && chunk.length - at >= this.#length) {
      const whole = chunk.subarray(at, at + this.#length)
      this.#finish(whole, packets)
      return whole.length
    }
    this.#body ??= Buffer.allocUnsafe(this.#length)
    const taken = chunk.copy(this.#body, this.#filled, at)
    this.#filled += taken
    if (this.#filled === this.#body.length) this.#finish(this.#body, packets)
    return taken
  }

  #finish(packet: Buffer, packets: Buffer[]): void {
    packets.push(packet)
    this.#length = 0
    this.#lengthBytes = 0
    this.#body = undefined
    this.#filled = 0
  }
}

/** Reads the fields of one packet in order. Every read is bounded by the packet; beyond it, `TRANSFER_FAILED`. */
export class FieldReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** Whether nothing is left. */
  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#pass(1))
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#pass(4))
  }

  /** Above 2^53 the nearest number: sizes from a server are hints, and no file is that large. */
  uint64(): number {
    const start = this.#pass(8)
    return this.#bytes.readUInt32BE(start) * 2 ** 32 + this.#bytes.readUInt32BE(start + 4)
  }

  /** A view into the packet; copy it to keep it. */
  text(): Buffer {
    const byteCount = this.uint32()
    const start = this.#pass(byteCount)
    return this.#bytes.subarray(start, start + byteCount)
  }

  /** Goes beyond the next `byteCount` bytes; returns where they begin. */
  #pass(byteCount: number): number {
    const start = this.#at
    if (byteCount > this.#bytes.length - start) throw protocolError('a packet that ends in the middle of a field')
    this.#at = start + byteCount
    return start
  }
}
