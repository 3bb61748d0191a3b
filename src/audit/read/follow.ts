import { stat, type FileHandle } from 'node:fs/promises'
import { errorCode } from '../../core/atomic-file.ts'
import { RemexError } from '../../core/errors.ts'
import { ChangeWatch } from './change-watch.ts'
import { unreadable } from '../files.ts'
import { Sieve, type AuditFilter } from './filter.ts'
import { readLines } from '../line-reader.ts'
import { lineHeader } from '../line.ts'
import type { AuditRecord } from '../record.ts'
import { wantedSegments, type Page } from './scan.ts'
import { Segments, type Segment } from '../segments.ts'

/** How far the log was read. */
interface Mark {
  /** Of the last file that was read through; undefined before the first. */
  readonly inode: number | undefined
  /** The last number that was seen. */
  readonly seq: number
}

/**
 * The records in `directory` that `filter` wants, oldest first, and then those that are written later, as they come, until
 * the signal aborts: each once, also where the log turns to a new file meanwhile. A line is read when it is whole. The log
 * need not be there yet. What retention removes before it was read is passed over. Throws `AUDIT_UNAVAILABLE`.
 */
export async function* followAudit(directory: string, filter: AuditFilter, signal: AbortSignal): AsyncGenerator<Page> {
  using changes = new ChangeWatch(directory)
  yield* new Follower(directory, new Sieve(filter), { changes, signal }).pages()
}

class Follower {
  readonly #directory: string
  readonly #sieve: Sieve
  readonly #changes: ChangeWatch
  readonly #signal: AbortSignal
  #mark: Mark = { inode: undefined, seq: 0 }

  constructor(directory: string, sieve: Sieve, { changes, signal }: { readonly changes: ChangeWatch; readonly signal: AbortSignal }) {
    this.#directory = directory
    this.#sieve = sieve
    this.#changes = changes
    this.#signal = signal
  }

  async *pages(): AsyncGenerator<Page> {
    let [held, next]: readonly (Segments | undefined)[] = []
    try {
      while (!this.#signal.aborted) {
        next = await Segments.of(this.#directory)
        const { inode } = this.#mark
        for (const segment of await this.#unread(next)) yield* this.#through(next, segment)
        // The file that was read last stays open until another is, so that no other gets its inode.
        if (this.#mark.inode === inode) await this.#changes.next(this.#signal)
        else [held, next] = [next, held]
        await next?.[Symbol.asyncDispose]()
      }
    } finally {
      await next?.[Symbol.asyncDispose]()
      await held?.[Symbol.asyncDispose]()
    }
  }

  /** The files behind the one that was read last; where that is gone, those with later numbers, and the one that is written. */
  async #unread(segments: Segments): Promise<readonly Segment[]> {
    const { inode, seq } = this.#mark
    const wanted = await wantedSegments(segments, this.#sieve)
    const inodes = await Promise.all(segments.list.map(({ path }) => inodeOf(path)))
    const at = inode === undefined ? -1 : inodes.indexOf(inode)
    return wanted.filter((segment) => (at === -1 ? (segment.firstSeq ?? Infinity) > seq : segments.list.indexOf(segment) > at))
  }

  /** Reads a file to its end; of the one that is written, that is when another has taken its place. */
  async *#through(segments: Segments, segment: Segment): AsyncGenerator<Page> {
    const file = await segments.open(segment)
    if (!file) return
    try {
      const { ino: inode } = await file.stat()
      for (let offset = 0, isWritten = true; isWritten && !this.#signal.aborted; ) {
        // Asked before reading: what was written until then is there, and nothing comes behind it.
        isWritten = segment.firstSeq === undefined && (await inodeOf(segment.path)) === inode
        offset = yield* this.#pagesFrom(file, offset)
        if (isWritten) await this.#changes.next(this.#signal)
      }
      this.#mark = { ...this.#mark, inode }
    } catch (error) {
      throw error instanceof RemexError ? error : unreadable(segment.path, error)
    }
  }

  /** Gives what stands behind `start`, and returns where to go on. */
  async *#pagesFrom(file: FileHandle, start: number): AsyncGenerator<Page, number> {
    // A writer that could not write all takes back what it wrote.
    let end = Math.min(start, (await file.stat()).size)
    for await (const lines of readLines(file, end)) {
      const page: AuditRecord[] = []
      for (const { bytes, endOffset } of lines) {
        const record = this.#sieve.pick(bytes)
        const seq = record?.seq ?? lineHeader(bytes)?.seq
        // What is no record may still be taken away, and a record be written in its place.
        if (seq === undefined) continue
        end = endOffset
        this.#mark = { ...this.#mark, seq }
        if (record) page.push(record)
      }
      if (page.length > 0) yield page
      if (this.#signal.aborted) break
    }
    return end
  }
}

/** Undefined where there is no such file. */
async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).ino
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw unreadable(path, error)
  }
}
