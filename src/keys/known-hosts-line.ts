import { parseHostKey, type HostKey } from '../core/host-key.ts'
import { isNameField } from './host-names.ts'

/** What a line of a known_hosts file is. */
export type KnownHostsLine =
  /** A comment or nothing. */
  | { readonly kind: 'blank' }
  /** Something that cannot be understood. It is skipped, as OpenSSH does, and kept when the file is written. */
  | { readonly kind: 'malformed' }
  | KnownHostsEntry

/** A line with a key. `head + names + tail` is the line as it was. */
export interface KnownHostsEntry {
  readonly kind: 'entry'
  readonly marker: Marker
  /** Everything before the names: white space and the marker. */
  readonly head: string
  /** The field of host names: a list of patterns, or one hashed name. */
  readonly names: string
  /** Everything after the names: the key and a comment, without the end of the line. */
  readonly tail: string
  readonly key: HostKey
}

/** `cert-authority` and `revoked` are written with an @ in front. */
export type Marker = 'none' | 'cert-authority' | 'revoked'

/** A line and where it is. */
export interface PlacedLine {
  readonly line: KnownHostsLine
  /** Counted from 1. */
  readonly number: number
  /** Index of its first character in the text. */
  readonly start: number
  /** Index after its last character: of its `\n`, or the end of the text. */
  readonly end: number
}

/**
 * The lines of a known_hosts file, one at a time: a hostile file may have millions.
 * `text` has one character per byte (latin1), so that what is not changed is written back byte for byte.
 */
export function* knownHostsLines(text: string): Generator<PlacedLine> {
  for (let start = 0, number = 1; start < text.length; number++) {
    const newline = text.indexOf('\n', start)
    const end = newline < 0 ? text.length : newline
    yield { line: parseKnownHostsLine(text.slice(start, end)), number, start, end }
    start = end + 1
  }
}

const MARKERS: Record<string, Marker> = { '@cert-authority': 'cert-authority', '@revoked': 'revoked' }

/**
 * One line, without its `\n`; a `\r` before it belongs to the end of the line.
 * Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
 */
export function parseKnownHostsLine(text: string): KnownHostsLine {
  const namesOrMarker = field(text, 0)
  if (namesOrMarker === '' || namesOrMarker.startsWith('#')) return { kind: 'blank' }
  const marker = namesOrMarker.startsWith('@') ? MARKERS[namesOrMarker] : 'none'
  if (marker === undefined || text.includes('\0')) return { kind: 'malformed' }
  const names = marker === 'none' ? namesOrMarker : field(text, text.indexOf(namesOrMarker) + namesOrMarker.length)
  return entry(text, marker, names)
}

/** The word that begins at `index` or after the white space there; empty where there is none. */
function field(text: string, index: number): string {
  const word = /[ \t]*([^ \t\r]*)/y
  word.lastIndex = index
  return word.exec(text)?.[1] ?? ''
}

function entry(text: string, marker: Marker, names: string): KnownHostsLine {
  const headLength = text.indexOf(names, marker === 'none' ? 0 : text.indexOf(marker) + marker.length)
  const tail = text.slice(headLength + names.length)
  // After the names there is white space, or the line ends: a stray \r inside a name is neither.
  const key = isNameField(names) && /^[ \t]/.test(tail) ? parseHostKey(tail) : undefined
  return key ? { kind: 'entry', marker, head: text.slice(0, headLength), names, tail, key } : { kind: 'malformed' }
}
