/** Values as SSH writes them. Source: RFC 4251 section 5. */

/** A 32-bit number. */
export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

/** A string: its length, and its bytes. Text is UTF-8. */
export function string(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([uint32(bytes.length), bytes])
}

/** A truth value. */
export function boolean(value: boolean): Buffer {
  return Buffer.from([value ? 1 : 0])
}

/** What came ends before what it says it has. */
export class TruncatedError extends Error {}

/** Reads values one after the other. Throws {@link TruncatedError} past the end, whatever the bytes say. */
export class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  byte(): number {
    return this.#take(1)[0] ?? 0
  }

  uint32(): number {
    return this.#take(4).readUInt32BE(0)
  }

  /** Not copied. */
  string(): Buffer {
    return this.#take(this.uint32())
  }

  text(): string {
    return this.string().toString('utf8')
  }

  #take(count: number): Buffer {
    const end = this.#at + count
    if (end > this.#bytes.length) throw new TruncatedError('a message ends too early')
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }
}
