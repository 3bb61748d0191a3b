import type { Secret } from '../../core/secret.ts'
import { base64Parts } from './base64.ts'
import { spellings } from './spelling.ts'

/**
 * How a secret may be written: its parts in their order, each in any of these spellings, none of them empty. They are bytes, as the
 * characters of the same numbers (latin1).
 */
export type Form = readonly (readonly string[])[]

/** The base64 of less is found in many a text that has nothing to do with it. */
const LEAST_BASE64_BYTES = 4

/**
 * The forms of a secret: as it is, with any of its characters quoted or encoded, and in base64, at each of the three places that it can
 * have in a longer text; none of an empty one.
 */
export function formsOf(secret: Secret): readonly Form[] {
  const bytes = Buffer.from(secret.reveal())
  if (bytes.length === 0) return []
  const quoted = [...bytes.toString()].map(spellings)
  const encoded = bytes.length < LEAST_BASE64_BYTES ? [] : ([0, 1, 2] as const).map((before) => base64Parts(bytes, before))
  return [quoted, ...encoded].map((parts) => parts.map((part) => part.map(asBytes)))
}

const asBytes = (text: string): string => Buffer.from(text).toString('latin1')

/** How a form was found at a place. */
export interface Attempt {
  /** Where it ends, the longest way; undefined where it does not stand there. */
  readonly end: number | undefined
  /** Whether the bytes ended before that was clear. */
  readonly isCut: boolean
}

/** Looks for a form at `start` of `bytes`. Where its spellings can be read in more than one way all are followed at once. */
export function tryForm(form: Form, bytes: Buffer, start: number): Attempt {
  let ends: readonly number[] = [start]
  let isCut = false
  for (const part of form) {
    const next: number[] = []
    for (const from of ends) {
      for (const spelling of part) {
        const to = from + agreeing(spelling, bytes, from)
        if (to === bytes.length && to < from + spelling.length) isCut = true
        else if (to === from + spelling.length && !next.includes(to)) next.push(to)
      }
    }
    if (next.length === 0) return { end: undefined, isCut }
    ends = next
  }
  return { end: Math.max(...ends), isCut }
}

/** How many bytes of a spelling stand at `from`. */
function agreeing(spelling: string, bytes: Buffer, from: number): number {
  let count = 0
  while (count < spelling.length && spelling.charCodeAt(count) === bytes[from + count]) count++
  return count
}
