import { Readable } from 'node:stream'

/** A regular file of an archive. */
export interface TarMember {
  /** ASCII without a slash, at most 100 characters. */
  readonly name: string
  readonly content: Buffer
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number
  /** Seconds since 1970; a fraction, and what is before 1970 or after 2242, is cut. */
  readonly mtime: number
}

const BLOCK_BYTES = 512
/** Small members go out together: each chunk costs work in every layer below. */
const CHUNK_BYTES = 128 * 1024
const LARGEST_OCTAL = 0o77777777777

/**
 * An archive of `members` as a stream of chunks of about 128 KiB, made as they are read. `onMember` sees the size of each member's
 * content when it is taken. Source: POSIX.1-2017, pax, "ustar Interchange Format".
 */
export function tarStream(members: Iterable<TarMember>, onMember: (sizeBytes: number) => void = () => undefined): Readable {
  return Readable.from(coalesced(pieces(members, onMember)), { objectMode: false, highWaterMark: CHUNK_BYTES })
}

function* pieces(members: Iterable<TarMember>, onMember: (sizeBytes: number) => void): Generator<Buffer, void> {
  for (const member of members) {
    const { length } = member.content
    yield tarHeader(member)
    yield member.content
    yield PADDING.subarray(0, (BLOCK_BYTES - (length % BLOCK_BYTES)) % BLOCK_BYTES)
    onMember(length)
  }
  // Two blocks of zeros are the end.
  yield PADDING
}

const PADDING = Buffer.alloc(2 * BLOCK_BYTES)

function* coalesced(parts: Iterable<Buffer>): Generator<Buffer, void> {
  let chunk: Buffer[] = []
  let sizeBytes = 0
  for (const part of parts) {
    chunk.push(part)
    sizeBytes += part.length
    if (sizeBytes < CHUNK_BYTES) continue
    yield Buffer.concat(chunk, sizeBytes)
    chunk = []
    sizeBytes = 0
  }
  yield Buffer.concat(chunk, sizeBytes)
}

function tarHeader({ name, content, mode, mtime }: TarMember): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES)
  const octal = (value: number, offset: number, digits: number): void => {
    header.write(value.toString(8).padStart(digits, '0'), offset, 'latin1')
  }
  header.write(name, 0, 100, 'latin1')
  octal(mode & 0o7777, 100, 7)
  octal(0, 108, 7)
  octal(0, 116, 7)
  octal(content.length, 124, 11)
  octal(Math.min(Math.max(0, Math.floor(mtime)), LARGEST_OCTAL), 136, 11)
  // The sum is taken with spaces in its own place.
  header.write('        0', 148, 'latin1')
  header.write('ustar\x0000', 257, 'latin1')
  octal(header.reduce((sum, byte) => sum + byte, 0), 148, 6)
  header.writeUInt8(0, 154)
  return header
}
