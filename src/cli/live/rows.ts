import { eastAsianWidth } from 'get-east-asian-width'
import { printable } from '../../core/printable.ts'
import type { Style } from '../colour.ts'

/** A piece of a row, all of it in one style. */
export interface Span {
  readonly text: string
  readonly style?: Style
}

/** One row of the terminal. */
export type Row = readonly Span[]

/** How large the terminal is, in cells. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

const PLAIN = /^[\x20-\x7e]*$/
/** What stands on the character before it. */
const MARK = /^[\p{Mn}\p{Me}]$/u
const TAB_STOP = 8

/**
 * How many columns `text` takes: wide characters take two, marks on others none. Of what terminals draw as one although it is
 * several characters, such as a family of emoji, each counts: too few on a row does no harm.
 */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length
  let width = 0
  for (const char of text) width += charWidth(char)
  return width
}

/** As much of `text` as `columns` hold, with … at the end where it is not all. */
export function clip(text: string, columns: number): string {
  if (columns < 1) return ''
  let width = 0
  let kept = 0
  let at = 0
  for (const char of text) {
    width += charWidth(char)
    if (width > columns) return `${text.slice(0, kept)}…`
    at += char.length
    if (width < columns) kept = at
  }
  return text
}

/** The row with nothing in it that could move the cursor, cut to `columns`. */
export function fitRow(row: Row, columns: number): Row {
  const fitted: Span[] = []
  let left = columns
  for (const span of row) {
    if (left <= 0) break
    // What is beyond the edge need not be looked at, and a line of output may be long.
    const text = clip(withoutTabs(printable(span.text.slice(0, columns * 4))), left)
    left -= widthOf(text)
    fitted.push({ ...span, text })
  }
  return fitted
}

function charWidth(char: string): number {
  if (PLAIN.test(char)) return 1
  return MARK.test(char) ? 0 : eastAsianWidth(char.codePointAt(0) ?? 0)
}

/** To the next tab stop, counted from where the text begins. */
function withoutTabs(text: string): string {
  if (!text.includes('\t')) return text
  let expanded = ''
  for (const piece of text.split(/(?<=\t)/)) {
    if (!piece.endsWith('\t')) return expanded + piece
    const before = expanded + piece.slice(0, -1)
    expanded = before + ' '.repeat(TAB_STOP - (widthOf(before) % TAB_STOP))
  }
  return expanded
}
