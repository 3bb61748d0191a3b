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

/**
 * A whole packet with its length in front. `dataBytes` is how much more of the same packet the caller sends after it,
 * so that file content is not copied.
 */
export function encodePacket(type: number, fields: readonly Buffer[], dataBytes = 0): Buffer {
  const body = Buffer.concat(fields)
  const head = Buffer.allocUnsafe(5)
  head.writeUInt32BE(1 + body.length + dataBytes, 0)
  head.writeUInt8(type, 4)
  return Buffer.concat([head, body])
}

/** A uint32 field. */
export function uint32(value: number): Buffer {
  const field = Buffer.allocUnsafe(4)
  field.writeUInt32BE(value)
  return field
}

/** A uint64 field. */
export function uint64(value: number): Buffer {
  const field = Buffer.allocUnsafe(8)
  field.writeBigUInt64BE(BigInt(value))
  return field
}

/** A string field: length, then the bytes. */
export function text(bytes: Buffer | string): Buffer {
  const raw = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  return Buffer.concat([uint32(raw.length), raw])
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
    return this.#take(1).readUInt8()
  }

  uint32(): number {
    return this.#take(4).readUInt32BE()
  }

  /** Above 2^53 the nearest number: sizes from a server are hints, and no file is that large. */
  uint64(): number {
    return Number(this.#take(8).readBigUInt64BE())
  }

  /** A view into the packet; copy it to keep it. */
  text(): Buffer {
    return this.#take(this.uint32())
  }

  #take(byteCount: number): Buffer {
    if (byteCount > this.#bytes.length - this.#at) throw protocolError('a packet that ends in the middle of a field')
    this.#at += byteCount
    return this.#bytes.subarray(this.#at - byteCount, this.#at)
  }
}
