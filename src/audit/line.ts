import { hash as digestOf } from 'node:crypto'
import { remexError } from '../core/errors.ts'
import { inOrder, isRecord, type AuditRecord, type Draft } from './record.ts'

/** The hash that stands in `prev` of the first record. */
export const NO_HASH = '0'.repeat(64)

/** The longest line that is written or read, its newline included. A record at the bounds of its fields is shorter. */
export const MAX_LINE_BYTES = 1_048_576

/** A place in the chain: the last record, `seq` 0 where there is none yet. */
export interface Position {
  readonly seq: number
  /** Hex SHA-256. */
  readonly hash: string
}

/** Where a chain begins. */
export const START: Position = { seq: 0, hash: NO_HASH }

/** A record whose own hash is right. `event` is undefined where it does not stand where this version writes it. */
export type FoundRecord = Extract<LineContent, { readonly kind: 'record' }>

/** What {@link readLine} found: a record whose own hash is right, one whose hash is not, or something else. */
export type LineContent =
  | { readonly kind: 'record'; readonly position: Position; readonly prev: string; readonly event: string | undefined }
  | { readonly kind: 'altered'; readonly seq: number | undefined }
  | { readonly kind: 'not_json' }

/** What ends a line. */
export const NEWLINE = 0x0a
/** Control, format and separator characters and lone halves of pairs: what a terminal obeys or what cannot be seen. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}\u202f]/gu
const PREFIX = /^\{"seq":([1-9]\d{0,15}),"(?:time":"[^"\\]{1,40}","event":"([^"\\]{1,256})")?/
/** Bytes of `,"hash":"<64 hex digits>"}`. */
const HASH_FIELD_BYTES = 75
/** Bytes of `,"prev":"<64>","hash":"<64>"}`. */
const SUFFIX_BYTES = 149

/**
 * The line of `draft` as the record after `last`, and its place in the chain.
 *
 * A line is a JSON object without spaces, its fields in the order of the table in record.ts, `prev` and `hash` last,
 * then a newline. `hash` is the SHA-256, in hex, of the UTF-8 bytes of the same object without its `hash` field: cut
 * `,"hash":"…"` (74 bytes) from before the closing brace, drop the newline, and hash what is left.
 *
 * Every character that a terminal could obey is a `\u` escape, so a record is one line and safe to print.
 * Throws `INTERNAL` for a record over {@link MAX_LINE_BYTES}.
 */
export function writeLine(draft: Draft, last: Position): { readonly text: string; readonly position: Position } {
  const seq = last.seq + 1
  const body = escaped(JSON.stringify(inOrder({ ...draft, seq, prev: last.hash })))
  const hash = sha256(body)
  const text = `${body.slice(0, -1)},"hash":"${hash}"}\n`
  if (Buffer.byteLength(text) > MAX_LINE_BYTES) throw remexError('INTERNAL', 'an audit record is longer than 1 MiB')
  return { text, position: { seq, hash } }
}

/** JSON.stringify has escaped C0 and lone surrogates; what is left can only stand inside of strings. */
function escaped(json: string): string {
  return json.replace(UNSAFE, (char) => [...Array(char.length).keys()].map((at) => unicodeEscape(char.charCodeAt(at))).join(''))
}

function unicodeEscape(code: number): string {
  return String.raw`\u` + code.toString(16).padStart(4, '0')
}

/** SHA-256 in hex; of a string, that of its UTF-8 bytes. */
export function sha256(data: string | Buffer): string {
  return digestOf('sha256', data, 'hex')
}

/** What the bytes of a line, its newline excluded, are. Trusts nothing but the bytes. */
export function readLine(line: Buffer): LineContent {
  const [, digits, event] = PREFIX.exec(line.toString('latin1', 0, 96)) ?? []
  const seq = Number(digits)
  const { prev, hash } = suffixOf(line) ?? {}
  if (seq && prev && hash && hash === hashOf(line)) return { kind: 'record', position: { seq, hash }, prev, event }
  return unproven(line)
}

/** What stands in `prev` and `hash`, the two last fields. Cut out: a regular expression took a tenth of the time of verifying a log. */
function suffixOf(line: Buffer): { readonly prev: string; readonly hash: string } | undefined {
  const suffix = line.toString('latin1', Math.max(0, line.length - SUFFIX_BYTES))
  const isSuffix = suffix.length === SUFFIX_BYTES && suffix.startsWith(',"prev":"') && suffix.startsWith('","hash":"', 73) && suffix.endsWith('"}')
  const prev = suffix.slice(9, 73)
  return isSuffix && isHash(prev) ? { prev, hash: suffix.slice(83, 147) } : undefined
}

/** Whether all of it are digits of a hash. */
function isHash(text: string): boolean {
  for (let at = 0; at < 64; at++) {
    const code = text.charCodeAt(at)
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false
  }
  return true
}

/** Of a line in place: the comma before its hash is a closing brace for a moment, which spares a copy. */
function hashOf(line: Buffer): string {
  const end = line.length - HASH_FIELD_BYTES
  const comma = line[end] ?? 0
  line[end] = CLOSING_BRACE
  const digest = sha256(line.subarray(0, end + 1))
  line[end] = comma
  return digest
}

const CLOSING_BRACE = 0x7d

function unproven(line: Buffer): LineContent {
  const value = parsed(line)
  if (typeof value !== 'object' || value === null) return { kind: 'not_json' }
  const seq = 'seq' in value && Number.isSafeInteger(value.seq) ? Number(value.seq) : undefined
  return { kind: 'altered', seq }
}

/** How a line begins, whatever else is in it: what most readers skip lines by. */
export interface LineHeader {
  readonly seq: number
  /** As it stands there, ISO 8601. */
  readonly time: string
  readonly event: string
}

const HEADER = /^\{"seq":([1-9]\d{0,15}),"time":"([^"\\]{1,40})","event":"([^"\\]{1,256})"/

/** How a line begins, without parsing it; undefined for what this version does not write so. */
export function lineHeader(line: Buffer): LineHeader | undefined {
  const [, seq, time, event] = HEADER.exec(line.toString('latin1', 0, 360)) ?? []
  return time === undefined || event === undefined ? undefined : { seq: Number(seq), time, event }
}

/** The record in a line, without a look at its hash; undefined for what is not a record. */
export function parseRecord(line: Buffer): AuditRecord | undefined {
  const value = parsed(line)
  return isRecord(value) ? value : undefined
}

function parsed(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8'))
  } catch {
    return undefined
  }
}
