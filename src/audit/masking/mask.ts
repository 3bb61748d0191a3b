import type { Secret } from '../../core/secret.ts'
import { FormSearch } from './form-search.ts'
import { formsOf } from './forms.ts'
import { PatternSearch } from './pattern-search.ts'
import { merged, type Search, type Span } from './spans.ts'

const PLACEHOLDER = Buffer.from('[secret]')
const NOTHING = Buffer.alloc(0)

/**
 * Puts `[secret]` in the place of secrets, in texts and in streams of bytes. A secret is found as it is, with any of its characters
 * quoted or encoded (for shells, URLs, forms, JSON), and from 4 bytes on in base64, also inside the base64 of a longer text, with the
 * characters at the border that carry some of its bits. An empty secret hides nothing.
 *
 * A pattern hides what it matches; with a group named `secret`, or else with its first group, only what that one matched, where it took
 * part. It is applied to each line by itself, and to one of over 64 KiB in windows: see {@link PatternSearch}. A match of nothing hides
 * nothing.
 *
 * Where what is hidden overlaps or touches, all of it becomes one placeholder, so that no rest of one shows beside the other.
 */
export class Mask {
  readonly #forms: FormSearch | undefined
  readonly #patterns: readonly RegExp[]

  constructor(secrets: readonly Secret[], patterns: readonly RegExp[] = []) {
    const forms = secrets.flatMap(formsOf)
    this.#forms = forms.length === 0 ? undefined : new FormSearch(forms)
    this.#patterns = patterns
  }

  /** The text without what is secret. A lone surrogate in a text with secrets becomes U+FFFD, as everywhere in UTF-8. */
  mask(text: string): string {
    const searches = this.#searches()
    if (searches.length === 0) return text
    const bytes = Buffer.from(text)
    const stream = new MaskStream(searches)
    const shown = Buffer.concat([stream.push(bytes), stream.end()])
    return shown.equals(bytes) ? text : shown.toString()
  }

  /** For bytes that come in chunks of any length. */
  stream(): MaskStream {
    return new MaskStream(this.#searches())
  }

  #searches(): readonly Search[] {
    const patterns = this.#patterns.length === 0 ? [] : [new PatternSearch(this.#patterns)]
    return this.#forms ? [this.#forms, ...patterns] : patterns
  }
}

/** A stream that is masked: all that it gives, put together, is what {@link Mask.mask} makes of all that it was given. */
export class MaskStream {
  readonly #searches: { readonly search: Search; from: number }[]
  /** What may yet turn out to be the beginning of something secret. */
  #held: Buffer = NOTHING
  /** What was found in it. */
  #spans: readonly Span[] = []
  /** Up to where in it a placeholder that was given stands for everything; negative where none does. */
  #hiddenTo = -1

  constructor(searches: readonly Search[]) {
    this.#searches = searches.map((search) => ({ search, from: 0 }))
  }

  /**
   * What can be shown by now. Held back is only what may be the beginning of a secret, and with patterns the line that is not at its end,
   * up to 64 KiB of it. The result may share the memory of `chunk`.
   */
  push(chunk: Buffer): Buffer {
    return this.#searches.length === 0 ? chunk : this.#show(chunk, false)
  }

  /** What was held back. The stream is over. */
  end(): Buffer {
    return this.#searches.length === 0 ? NOTHING : this.#show(NOTHING, true)
  }

  #show(chunk: Buffer, isLast: boolean): Buffer {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    const to = this.#search(bytes, isLast)
    const shown = this.#hide(bytes, to)
    // A slice would hold the whole chunk in memory, and see it change when it is used again.
    this.#held = Buffer.from(bytes.subarray(to))
    this.#spans = this.#spans.filter(({ start }) => start >= to).map(({ start, end }) => ({ start: start - to, end: end - to }))
    this.#hiddenTo -= to
    for (const one of this.#searches) one.from -= to
    return shown
  }

  /** Finds what there is to find, and gives the place up to which that is all. */
  #search(bytes: Buffer, isLast: boolean): number {
    for (const one of this.#searches) {
      const { spans, next } = one.search.find(bytes, one.from, isLast)
      this.#spans = this.#spans.concat(spans)
      one.from = next
    }
    return Math.min(...this.#searches.map(({ from }) => from))
  }

  /** The bytes before `to`, with placeholders. */
  #hide(bytes: Buffer, to: number): Buffer {
    const pieces: Buffer[] = []
    let shownTo = Math.max(0, this.#hiddenTo)
    for (const { start, end } of merged(this.#spans)) {
      if (start >= to) break
      if (start > this.#hiddenTo) pieces.push(bytes.subarray(shownTo, start), PLACEHOLDER)
      this.#hiddenTo = Math.max(this.#hiddenTo, end)
      shownTo = this.#hiddenTo
    }
    if (pieces.length === 0) return bytes.subarray(shownTo, Math.max(shownTo, to))
    return Buffer.concat([...pieces, bytes.subarray(shownTo, Math.max(shownTo, to))])
  }
}
