/** Values as SSH writes them. Source: RFC 4251 section 5. */

/** A 32-bit number; of what is larger, the lower 32 bits. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** A string: its length, and its bytes. Text is UTF-8. */
export function sshString(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([uint32(bytes.length), bytes])
}

/** What came ends before what it says it has. */
export class TruncatedError extends Error {}

/** Reads values one after the other. Throws {@link TruncatedError} past the end, and nothing else, whatever the bytes say. */
export class WireReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** Whether all was read. */
  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  byte(): number {
    return this.#take(1)[0] ?? 0
  }

  uint32(): number {
    return this.#take(4).readUInt32BE(0)
  }

  uint64(): bigint {
    return this.#take(8).readBigUInt64BE(0)
  }

  /** Without its length. Not copied. */
  string(): Buffer {
    return this.#take(this.uint32())
  }

  text(): string {
    return this.string().toString('utf8')
  }

  /** So many strings as they are, with their lengths. Not copied. */
  strings(count: number): Buffer {
    const start = this.#at
    for (let index = 0; index < count; index++) this.string()
    return this.#bytes.subarray(start, this.#at)
  }

  #take(count: number): Buffer {
    const end = this.#at + count
    if (end > this.#bytes.length) throw new TruncatedError('a message ends too early')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }
}

/** What `read` makes of bytes; undefined where they end too early for it. */
export function ifWhole<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof TruncatedError) return undefined
    throw error
  }
}

/** The strings that `bytes` begins with, at most `most` of them. What follows, or ends too early, is left. */
export function leadingStrings(bytes: Buffer, most: number): Buffer[] {
  const reader = new WireReader(bytes)
  const found: Buffer[] = []
  while (found.length < most) {
    const next = ifWhole(() => reader.string())
    if (next === undefined) break
    found.push(next)
  }
  return found
}

/** How many bits a number has that is not negative; `mpint` is without its length. */
export function mpintBits(mpint: Buffer): number {
  const first = mpint.findIndex((byte) => byte !== 0)
  return first === -1 ? 0 : (mpint.length - first) * 8 - Math.clz32(mpint[first] ?? 0) + 24
}
