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
 * An archive of `members` as a stream, made as it is read, in chunks of 128 KiB or of one member that is larger. `onMember` sees the
 * size of each member's content when it is taken. Source: POSIX.1-2017, pax, "ustar Interchange Format".
 */
export function tarStream(members: Iterable<TarMember>, onMember: (sizeBytes: number) => void = () => undefined): Readable {
  return Readable.from(chunksOf(members, onMember), { objectMode: false, highWaterMark: CHUNK_BYTES })
}

function* chunksOf(members: Iterable<TarMember>, onMember: (sizeBytes: number) => void): Generator<Buffer, void> {
  let chunk = Buffer.alloc(CHUNK_BYTES)
  let filled = 0
  for (const member of members) {
    const { length } = member.content
    const neededBytes = BLOCK_BYTES + Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES
    if (filled + neededBytes > chunk.length) {
      yield chunk.subarray(0, filled)
      chunk = Buffer.alloc(Math.max(CHUNK_BYTES, neededBytes))
      filled = 0
    }
    writeHeader(chunk, filled, member)
    member.content.copy(chunk, filled + BLOCK_BYTES)
    filled += neededBytes
    onMember(length)
  }
  yield chunk.subarray(0, filled)
  // The end.
  yield Buffer.alloc(2 * BLOCK_BYTES)
}

/** Into a block of zeros. */
function writeHeader(chunk: Buffer, start: number, { name, content, mode, mtime }: TarMember): void {
  const text = (value: string, offset: number): number => chunk.write(value, start + offset, 'latin1')
  const octal = (value: number, offset: number, digits: number): number => text(value.toString(8).padStart(digits, '0'), offset)
  text(name, 0)
  octal(mode & 0o7777, 100, 7)
  octal(0, 108, 7)
  octal(0, 116, 7)
  octal(content.length, 124, 11)
  octal(Math.min(Math.max(0, Math.floor(mtime)), LARGEST_OCTAL), 136, 11)
  // The sum is taken with spaces in its own place.
  text('        0', 148)
  text('ustar\x0000', 257)
  let sum = 0
  for (let at = start; at < start + BLOCK_BYTES; at += 1) sum += chunk[at] ?? 0
  octal(sum, 148, 6)
  text('\0', 154)
}
