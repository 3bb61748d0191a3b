import type { FileHandle } from 'node:fs/promises'
import { MAX_LINE_BYTES, NEWLINE } from '../line.ts'

/** A line, read from the end of a file. */
export interface BackwardLine {
  /** Without the newline. */
  readonly bytes: Buffer
  /** Where it begins in the file. */
  readonly offset: number
}

const CHUNK_BYTES = 262_144

/**
 * The lines of `file`, without their newlines, from its end to its beginning, those of a chunk at a time. Bytes behind the
 * last newline are no line and are left out, as is a line over {@link MAX_LINE_BYTES}. Holds at most a line and a chunk.
 */
export async function* readLinesBackward(file: FileHandle): AsyncGenerator<readonly BackwardLine[]> {
  const splitter = new BackwardSplitter()
  for (let end = (await file.stat()).size; end > 0; ) {
    const start = Math.max(0, end - CHUNK_BYTES)
    // A chunk of its own each time: the lines are views into it.
    const chunk = Buffer.allocUnsafe(end - start)
    const { bytesRead } = await file.read(chunk, 0, chunk.length, start)
    yield splitter.split(chunk.subarray(0, bytesRead), start)
    end = start
  }
  yield splitter.first()
}

/** Cuts chunks at their newlines, the last chunk first, and keeps what is begun before them. */
class BackwardSplitter {
  /** The end of a line whose beginning is still to come; undefined until a newline was seen. */
  #rest: Buffer | undefined
  #isTooLong = false

  /** The lines that are whole with this chunk, which stands at `offset`. */
  split(chunk: Buffer, offset: number): readonly BackwardLine[] {
    const lines: BackwardLine[] = []
    let to = chunk.length
    for (let at = newlineBefore(chunk, to); at !== -1; at = newlineBefore(chunk, to)) {
      lines.push(...this.#completed(chunk.subarray(at + 1, to), offset + at + 1))
      this.#rest = Buffer.alloc(0)
      to = at
    }
    this.#keep(chunk.subarray(0, to))
    return lines
  }

  /** The first line of the file, once all chunks were split. */
  first(): readonly BackwardLine[] {
    return this.#completed(Buffer.alloc(0), 0)
  }

  #completed(beginning: Buffer, offset: number): readonly BackwardLine[] {
    const [rest, isTooLong] = [this.#rest, this.#isTooLong || beginning.length + (this.#rest?.length ?? 0) >= MAX_LINE_BYTES]
    this.#isTooLong = false
    if (rest === undefined || isTooLong) return []
    return [{ bytes: rest.length === 0 ? beginning : Buffer.concat([beginning, rest]), offset }]
  }

  #keep(beginning: Buffer): void {
    if (this.#rest === undefined || this.#isTooLong) return
    this.#isTooLong = beginning.length + this.#rest.length >= MAX_LINE_BYTES
    this.#rest = this.#isTooLong ? Buffer.alloc(0) : Buffer.concat([beginning, this.#rest])
  }
}

function newlineBefore(bytes: Buffer, to: number): number {
  return to === 0 ? -1 : bytes.lastIndexOf(NEWLINE, to - 1)
}
