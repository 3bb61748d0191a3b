import { isUtf8 } from 'node:buffer'
import type { Found, Search, Span } from './spans.ts'

/** A longer line is searched in windows of this length. */
const WINDOW_BYTES = 65_536

/** A line, or a window of one. */
interface Piece {
  readonly start: number
  readonly end: number
  /** Where the next begins. Before `end` in a window that is not the line's last: what begins from there on is the next one's. */
  readonly next: number
}

/**
 * Finds what patterns match, line by line; a line ends at a line feed or a carriage return. A line of more than 64 KiB is searched in
 * windows of 64 KiB, of which each begins in the middle of the one before. So a match of up to 32 KiB is found wherever it stands; of a
 * longer one the rest of the line is hidden with it. Bytes that are not UTF-8 are read as latin1.
 */
export class PatternSearch implements Search {
  readonly #patterns: readonly RegExp[]
  /** Whether a match that was too long hides the rest of the line. */
  #hidesRest = false

  constructor(patterns: readonly RegExp[]) {
    this.#patterns = patterns.map(({ source, flags }) => new RegExp(source, `${flags.replaceAll(/[dgy]/g, '')}dg`))
  }

  find(bytes: Buffer, from: number, isLast: boolean): Found {
    const spans: Span[] = []
    for (let at = from; ;) {
      const { spans: more, next } = this.#hidesRest ? this.#hideRest(bytes, at) : this.#searchPiece(bytes, at, isLast)
      spans.push(...more)
      if (next === at) return { spans, next }
      at = next
    }
  }

  #hideRest(bytes: Buffer, start: number): Found {
    const end = lineEnd(bytes, start, bytes.length)
    this.#hidesRest = end === undefined
    return { spans: [{ start, end: end ?? bytes.length }], next: end === undefined ? bytes.length : end + 1 }
  }

  /** Searches the next piece, if all of it is there. */
  #searchPiece(bytes: Buffer, from: number, isLast: boolean): Found {
    const piece = nextPiece(bytes, from, isLast)
    if (piece.end === from) return { spans: [], next: piece.next }
    const line = bytes.subarray(from, piece.end)
    const text = isUtf8(line) ? line.toString() : line.toString('latin1')
    const half = piece.next - from
    const matches = this.#patterns.flatMap((pattern) => matchesOf(pattern, text)).filter(({ begin }) => byteOffset(text, begin, line) < half)
    const spans = matches.map(({ start, end }) => ({ start: from + byteOffset(text, start, line), end: from + byteOffset(text, end, line) }))
    this.#hidesRest = half < line.length && spans.some(({ end }) => end === piece.end)
    return { spans, next: this.#hidesRest ? piece.end : piece.next }
  }
}

/** The next piece of a line; an empty one, which does not move on, where more bytes are needed. */
function nextPiece(bytes: Buffer, start: number, isLast: boolean): Piece {
  const end = lineEnd(bytes, start, Math.min(bytes.length, start + WINDOW_BYTES))
  if (end !== undefined) return { start, end, next: end + 1 }
  if (bytes.length - start > WINDOW_BYTES) {
    return { start, end: characterStart(bytes, start + WINDOW_BYTES), next: characterStart(bytes, start + WINDOW_BYTES / 2) }
  }
  return isLast ? { start, end: bytes.length, next: bytes.length } : { start, end: start, next: start }
}

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

function lineEnd(bytes: Buffer, from: number, to: number): number | undefined {
  for (let at = from; at < to; at++) if (bytes[at] === LINE_FEED || bytes[at] === CARRIAGE_RETURN) return at
  return undefined
}

/** `at`, or up to 3 bytes before it, so that no character of UTF-8 is cut there. */
function characterStart(bytes: Buffer, at: number): number {
  const before = [0, 1, 2, 3].find((back) => ((bytes[at - back] ?? 0) & 0xc0) !== 0x80)
  return at - (before ?? 0)
}

/** What a pattern matches of a text, in its characters. */
interface Match extends Span {
  /** Where the whole match begins; `start` and `end` are of what is to be hidden of it. */
  readonly begin: number
}

function matchesOf(pattern: RegExp, text: string): readonly Match[] {
  const matches: Match[] = []
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [whole, first] = match.indices ?? []
    const [start, end] = match.indices?.groups?.secret ?? first ?? whole ?? [0, 0]
    if (start < end) matches.push({ begin: match.index, start: start - halves(text, start), end: end + halves(text, end) })
    if (match[0] === '') pattern.lastIndex++
  }
  return matches
}

/** 1 where the place is inside of a character of two code units, which a pattern without the flag `u` can cut; else 0. */
const halves = (text: string, at: number): 0 | 1 => ((text.codePointAt(at - 1) ?? 0) > 0xffff ? 1 : 0)

/** The place in the bytes of a place in the text that was read from them. */
function byteOffset(text: string, at: number, bytes: Buffer): number {
  return text.length === bytes.length ? at : Buffer.byteLength(text.slice(0, at))
}
