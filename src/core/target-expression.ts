import { remexError, type RemexError } from './errors.ts'
import { printable } from './printable.ts'

/** Hosts that one name of an expression stands for. */
export type TargetSet =
  | { readonly kind: 'all' }
  | { readonly kind: 'group'; readonly name: string }
  | { readonly kind: 'ids'; readonly ids: readonly string[] }

/** What stands between two commas: the hosts that are in all of `sets`, taken in or out. */
export interface TargetPart {
  /** Whether it began with `!`. */
  readonly excluded: boolean
  readonly sets: readonly TargetSet[]
}

/** An expression may name this many hosts and groups; `vm[0-99999]` does. */
const MAX_NAMES = 100_000

/** A part of the text and where it begins, from 0. */
interface Piece {
  readonly text: string
  readonly start: number
}

/** What is being read: the whole text, and how many hosts and groups it may still name. */
interface Reading {
  readonly whole: string
  namesLeft: number
}

/** `01-04` in brackets: from 1, 4 numbers, 2 digits wide. */
interface Range {
  readonly low: number
  readonly count: number
  readonly width: number
}

/**
 * The parts of a target expression; whether hosts and groups exist is not looked at.
 * Throws `USAGE` naming the place for a syntax error and for more than 100,000 names.
 */
export function parseTargets(expression: string): readonly TargetPart[] {
  const reading: Reading = { whole: expression, namesLeft: MAX_NAMES }
  return splitOutsideBrackets(expression).map((piece) => parsePart(piece, reading))
}

function splitOutsideBrackets(text: string): Piece[] {
  const pieces: Piece[] = []
  let start = 0
  let inBrackets = false
  for (let index = 0; index <= text.length; index++) {
    const char = text[index]
    if (char === '[') inBrackets = true
    if (char === ']') inBrackets = false
    if (char !== undefined && (char !== ',' || inBrackets)) continue
    pieces.push({ text: text.slice(start, index), start })
    start = index + 1
  }
  return pieces
}

function parsePart(part: Piece, reading: Reading): TargetPart {
  const trimmed = trim(part)
  const excluded = trimmed.text.startsWith('!')
  const body = excluded ? { text: trimmed.text.slice(1), start: trimmed.start + 1 } : trimmed
  let start = body.start
  const sets = body.text.split('&').map((text) => {
    const piece = trim({ text, start })
    start += text.length + 1
    return parseSet(piece, reading)
  })
  return { excluded, sets }
}

function parseSet(piece: Piece, reading: Reading): TargetSet {
  const { text } = piece
  if (text === '') throw syntaxError(reading, piece.start, 'a host or group is missing')
  if (reading.namesLeft <= 0) throw tooMany(reading, piece.start)
  if (text.startsWith('!')) throw syntaxError(reading, piece.start, '"!" can only begin a part; write "@db,!vm03" to take vm03 out of @db')
  if (text !== 'all' && !text.startsWith('@')) return { kind: 'ids', ids: expandIds(piece, reading) }
  reading.namesLeft -= 1
  return text === 'all' ? { kind: 'all' } : { kind: 'group', name: groupName(piece, reading) }
}

function groupName(piece: Piece, reading: Reading): string {
  const name = piece.text.slice(1)
  if (name.trim() === '' || /[@![\]]/.test(name)) throw syntaxError(reading, piece.start, '"@" wants the name of one group after it')
  return name
}

/** `vm[01-04,07].lab` as its ids, in order. All is counted before any of it is expanded. */
function expandIds(piece: Piece, reading: Reading): string[] {
  const segments: (string | Range[])[] = []
  let place = 0
  let count = 1
  for (const match of piece.text.matchAll(/([^[\]]+)|\[([^[\]]*)\]/g)) {
    if (match.index !== place) break
    const at: Piece = { text: match[1] ?? match[2] ?? '', start: piece.start + match.index }
    const segment = match[1] === undefined ? parseRanges(at, reading) : literal(at, reading)
    if (typeof segment !== 'string') count *= segment.reduce((sum, range) => sum + range.count, 0)
    if (count > reading.namesLeft) throw tooMany(reading, at.start)
    segments.push(segment)
    place += match[0].length
  }
  if (place !== piece.text.length) throw syntaxError(reading, piece.start + place, 'a bracket has no partner')
  reading.namesLeft -= count
  return segments.map((segment) => (typeof segment === 'string' ? [segment] : segment.flatMap(expandRange))).reduce(combine, [''])
}

function literal(piece: Piece, reading: Reading): string {
  if (/^[A-Za-z0-9._-]+$/.test(piece.text)) return piece.text
  const why = /\s/.test(piece.text) ? 'hosts are separated by commas' : 'a host id has letters, digits, ".", "_" and "-" only'
  throw syntaxError(reading, piece.start, why)
}

function parseRanges(brackets: Piece, reading: Reading): Range[] {
  return brackets.text.split(',').map((item) => parseRange(item.trim(), brackets.start, reading))
}

function parseRange(item: string, start: number, reading: Reading): Range {
  const [, low, high = low] = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(item) ?? []
  if (low === undefined || high === undefined) throw syntaxError(reading, start, 'brackets hold numbers and ranges, like [01-04,07]')
  if (Number(high) < Number(low)) throw syntaxError(reading, start, `the range ${item} runs backwards`)
  if (high.startsWith('0') && high.length !== low.length) {
    throw syntaxError(reading, start, `both ends of ${item} need the same number of digits`)
  }
  return { low: Number(low), count: Number(high) - Number(low) + 1, width: low.length }
}

/** Numbers are padded to the digits of the low end: `08`, `09`, `10`. */
function expandRange({ low, count, width }: Range): string[] {
  return Array.from({ length: count }, (_, index) => String(low + index).padStart(width, '0'))
}

const combine = (ids: string[], texts: string[]): string[] => ids.flatMap((id) => texts.map((text) => id + text))

function trim(piece: Piece): Piece {
  const text = piece.text.trimStart()
  return { text: text.trimEnd(), start: piece.start + piece.text.length - text.length }
}

function tooMany(reading: Reading, start: number): RemexError {
  return syntaxError(reading, start, `it names more than ${MAX_NAMES} hosts and groups`)
}

function syntaxError(reading: Reading, start: number, why: string): RemexError {
  return remexError('USAGE', `targets ${showTargets(reading.whole)}, character ${start + 1}: ${why}`, {
    hint: 'Targets are vm01 or vm01,vm03 or vm[01-04,07] or @group or all; !vm03 excludes, @db&@prod intersects.',
  })
}

/** An expression as messages show it: one line, cut at 80 characters. */
export function showTargets(expression: string): string {
  const shown = printable(expression)
  return JSON.stringify(shown.length > 80 ? `${shown.slice(0, 79)}…` : shown)
}
