import type { FileHandle } from 'node:fs/promises'
import { MAX_LINE_BYTES, NEWLINE } from './line.ts'

/** A line of a file. */
export interface Line {
  /** Without the newline. Empty for a line over {@link MAX_LINE_BYTES}, which is no record. */
  readonly bytes: Buffer
  /** Where the next line begins. */
  readonly endOffset: number
}

const CHUNK_BYTES = 262_144

/**
 * The lines of `file` from the offset `start` to its end, those of a chunk at a time. Bytes behind the last newline are
 * no line and are left out. Holds at most a line and two chunks: the next one is read while the lines of one are looked at.
 */
export async function* readLines(file: FileHandle, start = 0): AsyncGenerator<readonly Line[]> {
  const splitter = new Splitter(start)
  let ahead = readChunk(file, start)
  for (let offset = start; ; ) {
    const chunk = await ahead
    if (chunk.length === 0) return
    offset += chunk.length
    ahead = readChunk(file, offset)
    // Whoever looks no further closes the file and does not ask how this went.
    ahead.catch(() => undefined)
    yield splitter.split(chunk)
  }
}

/** A chunk of its own each time: the lines are views into it. */
async function readChunk(file: FileHandle, offset: number): Promise<Buffer> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, offset)
  return chunk.subarray(0, bytesRead)
}

/** Cuts chunks at their newlines and keeps what is begun. */
class Splitter {
  #offset: number
  #begun: Buffer[] = []
  #begunBytes = 0

  constructor(start: number) {
    this.#offset = start
  }

  split(chunk: Buffer): readonly Line[] {
    const lines: Line[] = []
    const offset = this.#offset
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      lines.push({ bytes: this.#completed(chunk.subarray(from, end)), endOffset: offset + end + 1 })
      from = end + 1
    }
    this.#keep(chunk.subarray(from))
    this.#offset = offset + chunk.length
    return lines
  }

  #completed(last: Buffer): Buffer {
    const [begun, length] = [this.#begun, this.#begunBytes + last.length]
    this.#begun = []
    this.#begunBytes = 0
    if (length >= MAX_LINE_BYTES) return Buffer.alloc(0)
    return begun.length === 0 ? last : Buffer.concat([...begun, last])
  }

  #keep(bytes: Buffer): void {
    this.#begunBytes += bytes.length
    if (this.#begunBytes >= MAX_LINE_BYTES) this.#begun = []
    else if (bytes.length > 0) this.#begun.push(bytes)
  }
}
