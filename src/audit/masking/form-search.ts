import { tryForm, type Attempt, type Form } from './forms.ts'
import type { Found, Search, Span } from './spans.ts'

/** A form is looked for only where its first bytes, so many of them, may stand: nearly everywhere that is all there is to do. */
const FIRST_BYTES = 3
const BYTE_VALUES = 256

/** The last three bytes as one number, after one more. */
const shifted = (three: number, byte: number): number => ((three << 8) | byte) & 0xffffff

/** A small number for three bytes: Fibonacci hashing. Those that share one cost a look, no more. */
const HASH_BITS = 15
const hashOf = (three: number): number => Math.imul(three, 0x9e3779b1) >>> (32 - HASH_BITS)

/** Finds forms of secrets. It remembers nothing, so streams may share it. */
export class FormSearch implements Search {
  readonly #byFirst = new Map<number, Form[]>()
  /** 1 for the hashes of the bytes that a form may begin with. */
  readonly #begins = new Uint8Array(1 << HASH_BITS)

  constructor(forms: readonly Form[]) {
    for (const form of forms) this.#add(form)
  }

  #add(form: Form): void {
    const beginnings = beginningsOf(form)
    for (const first of new Set(beginnings.map((bytes) => bytes.charCodeAt(0)))) {
      const others = this.#byFirst.get(first)
      if (others) others.push(form)
      else this.#byFirst.set(first, [form])
    }
    for (const beginning of beginnings) this.#mark(beginning)
  }

  /** Behind a form that is shorter any byte may stand. */
  #mark(beginning: string): void {
    if (beginning.length < FIRST_BYTES) for (let next = 0; next < BYTE_VALUES; next++) this.#mark(beginning + String.fromCharCode(next))
    else this.#begins[hashOf([...beginning].reduce((three, char) => shifted(three, char.charCodeAt(0)), 0))] = 1
  }

  find(bytes: Buffer, from: number, isLast: boolean): Found {
    const spans: Span[] = []
    for (let at = this.#candidate(bytes, from); at < bytes.length; at = this.#candidate(bytes, at + 1)) {
      const { end, isCut } = this.#tryAt(bytes, at)
      if (isCut && !isLast) return { spans, next: at }
      if (end !== undefined) spans.push({ start: at, end })
    }
    return { spans, next: bytes.length }
  }

  /** The next place, `from` or after it, where a form may begin. At the end of the bytes it may everywhere. */
  #candidate(bytes: Buffer, from: number): number {
    const begins = this.#begins
    let three = shifted(bytes[from] ?? 0, bytes[from + 1] ?? 0)
    for (let at = from + 2; at < bytes.length; at++) {
      three = shifted(three, bytes[at] ?? 0)
      if (begins[hashOf(three)] === 1) return at - 2
    }
    return Math.max(from, bytes.length - 2)
  }

  /** The longest of the forms that stand there, as one. */
  #tryAt(bytes: Buffer, at: number): Attempt {
    const attempts = (this.#byFirst.get(bytes[at] ?? 0) ?? []).map((form) => tryForm(form, bytes, at))
    const ends = attempts.flatMap(({ end }) => end ?? [])
    return { end: ends.length === 0 ? undefined : Math.max(...ends), isCut: attempts.some(({ isCut }) => isCut) }
  }
}

/** The first three bytes of all spellings of a form; all of its bytes where it has less. */
function beginningsOf(form: Form): readonly string[] {
  let beginnings: readonly string[] = ['']
  for (const part of form) {
    if (beginnings.every(({ length }) => length === FIRST_BYTES)) break
    const longer = beginnings.flatMap((begun) => (begun.length === FIRST_BYTES ? begun : part.map((spelling) => (begun + spelling).slice(0, FIRST_BYTES))))
    beginnings = [...new Set(longer)]
  }
  return beginnings
}
