/** Packet types of SFTP version 3 that a server meets. Source: draft-ietf-secsh-filexfer-02 section 3. */
export const REQUEST = {
  INIT: 1, OPEN: 3, CLOSE: 4, READ: 5, WRITE: 6, LSTAT: 7, FSTAT: 8, SETSTAT: 9, FSETSTAT: 10, OPENDIR: 11, READDIR: 12,
  REMOVE: 13, MKDIR: 14, RMDIR: 15, REALPATH: 16, STAT: 17, RENAME: 18, READLINK: 19, SYMLINK: 20, EXTENDED: 200,
} as const

/** Packet types that a server sends. */
export const REPLY = { VERSION: 2, STATUS: 101, HANDLE: 102, DATA: 103, NAME: 104, ATTRS: 105, EXTENDED: 201 } as const

/** Attributes of a file, each of which may be left out. Source: draft-ietf-secsh-filexfer-02 section 5. */
export interface SftpAttributes {
  readonly sizeBytes?: number
  readonly owner?: { readonly uid: number; readonly gid: number }
  /** Type and permission bits, as st_mode. */
  readonly mode?: number
  /** Seconds since 1970. */
  readonly times?: { readonly atime: number; readonly mtime: number }
}

const HAS_SIZE = 1
const HAS_OWNER = 2
const HAS_MODE = 4
const HAS_TIMES = 8

/** What a client sent makes no sense. */
export class BadPacketError extends Error {}

/** Reads the fields of one packet in order. Throws {@link BadPacketError} past its end. */
export class PacketReader {
  #rest: Buffer

  constructor(packet: Buffer) {
    this.#rest = packet
  }

  uint8(): number {
    return this.#take(1).readUInt8()
  }

  uint32(): number {
    return this.#take(4).readUInt32BE()
  }

  /** Throws for numbers that are not exact. */
  uint64(): number {
    const value = Number(this.#take(8).readBigUInt64BE())
    if (!Number.isSafeInteger(value)) throw new BadPacketError('a number is too large')
    return value
  }

  /** Names are bytes: they need not be UTF-8. */
  bytes(): Buffer {
    return this.#take(this.uint32())
  }

  attributes(): SftpAttributes {
    const flags = this.uint32()
    return {
      ...(flags & HAS_SIZE ? { sizeBytes: this.uint64() } : {}),
      ...(flags & HAS_OWNER ? { owner: { uid: this.uint32(), gid: this.uint32() } } : {}),
      ...(flags & HAS_MODE ? { mode: this.uint32() } : {}),
      ...(flags & HAS_TIMES ? { times: { atime: this.uint32(), mtime: this.uint32() } } : {}),
    }
  }

  #take(length: number): Buffer {
    if (length > this.#rest.length) throw new BadPacketError('a packet ends too early')
    const taken = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    return taken
  }
}

/** A packet: its length, its type and what follows. */
export function packet(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat([Uint8Array.of(type), ...parts])
  return Buffer.concat([uint32(body.length), body])
}

/** A number of 32 bits. */
export function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeUInt32BE(value)
  return buffer
}

/** A number of 64 bits. */
export function uint64(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(BigInt(value))
  return buffer
}

/** A string or bytes with their length in front. */
export function bytes(value: string | Uint8Array): Buffer {
  const content = Buffer.from(value)
  return Buffer.concat([uint32(content.length), content])
}

/** Attributes with all their fields. */
export function attributes(stats: { size: number; uid: number; gid: number; mode: number; atimeMs: number; mtimeMs: number }): Buffer {
  const seconds = (ms: number): Buffer => uint32(Math.min(Math.max(0, Math.floor(ms / 1000)), 0xffff_ffff))
  return Buffer.concat([
    uint32(HAS_SIZE | HAS_OWNER | HAS_MODE | HAS_TIMES),
    uint64(stats.size), uint32(stats.uid), uint32(stats.gid), uint32(stats.mode), seconds(stats.atimeMs), seconds(stats.mtimeMs),
  ])
}
