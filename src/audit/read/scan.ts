import { contentsSaidBy } from '../contents.ts'
import { unreadable } from '../files.ts'
import type { Extent, Sieve } from './filter.ts'
import { readLines } from '../line-reader.ts'
import { readLinesBackward } from './lines-backward.ts'
import type { AuditRecord } from '../record.ts'
import type { Segment, Segments } from '../segments.ts'

/** Records that were read together; often none. */
export type Page = readonly AuditRecord[]

/** What is made of a line: a record that is wanted, or nothing. */
export type Picker = (line: Buffer) => AuditRecord | undefined

/** The files that can hold a record that is wanted, by what each says of the one before it. */
export async function wantedSegments(segments: Segments, sieve: Sieve): Promise<readonly Segment[]> {
  if (!sieve.hasBounds) return segments.list
  const wanted: Segment[] = []
  for (const [at, segment] of segments.list.entries()) {
    const extent = await extentOf(segments, segment, segments.list[at + 1])
    if (!extent || sieve.canBeIn(extent)) wanted.push(segment)
  }
  return wanted
}

/**
 * The records of these files, oldest first, a page for each chunk that is read, so that a reader can stop at each. The first
 * file is read from the offset `start` on. Throws `AUDIT_UNAVAILABLE` for what cannot be read.
 */
export async function* scanForward(segments: Segments, list: readonly Segment[], pick: Picker, start = 0): AsyncGenerator<Page> {
  for (const [at, segment] of list.entries()) {
    const file = await segments.open(segment)
    if (file) yield* pagesOf(readLines(file, at === 0 ? start : 0), segment, pick)
  }
}

/** The same, newest first. */
export async function* scanBackward(segments: Segments, list: readonly Segment[], pick: Picker): AsyncGenerator<Page> {
  for (const segment of list.toReversed()) {
    const file = await segments.open(segment)
    if (file) yield* pagesOf(readLinesBackward(file), segment, pick)
  }
}

/** A file and the offset at which a line of it begins. */
export interface Spot {
  /** The file, as an index into the list. */
  readonly at: number
  readonly offset: number
}

/** Where the newest `count` records of these files begin; the beginning of all where there are fewer. Throws `AUDIT_UNAVAILABLE`. */
export async function spotOfNewest(segments: Segments, list: readonly Segment[], pick: Picker, count: number): Promise<Spot> {
  let found = 0
  for (let at = list.length - 1; at >= 0; at--) {
    const segment = list[at]
    const file = segment && (await segments.open(segment))
    if (!file) continue
    try {
      for await (const lines of readLinesBackward(file)) {
        for (const { bytes, offset } of lines) if (pick(bytes) && ++found >= count) return { at, offset }
      }
    } catch (error) {
      throw unreadable(segment.path, error)
    }
  }
  return { at: 0, offset: 0 }
}

async function* pagesOf(chunks: AsyncIterable<readonly { readonly bytes: Buffer }[]>, { path }: Segment, pick: Picker): AsyncGenerator<Page> {
  try {
    for await (const lines of chunks) {
      const page: AuditRecord[] = []
      for (const { bytes } of lines) {
        const record = pick(bytes)
        if (record) page.push(record)
      }
      yield page
    }
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** What the file behind it says of a file; undefined where it says nothing. */
async function extentOf(segments: Segments, segment: Segment, next: Segment | undefined): Promise<Extent | undefined> {
  const file = next && (await segments.open(next))
  return file && contentsSaidBy(file, segment)
}
