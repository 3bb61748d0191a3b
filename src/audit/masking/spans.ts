/** Where something hidden stands in bytes: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** What a search found in bytes. */
export interface Found {
  readonly spans: readonly Span[]
  /** Everything that begins before this place is found; from here the search goes on when more bytes are there. */
  readonly next: number
}

/** Finds what must be hidden. One for each stream: it may remember. */
export interface Search {
  /** Looks at `bytes` from `from` on, the `next` of the time before. `isLast`: no more will come. */
  find(bytes: Buffer, from: number, isLast: boolean): Found
}

/** The spans in their order, those that overlap or touch as one. */
export function merged(spans: readonly Span[]): readonly Span[] {
  const whole: Span[] = []
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    const last = whole.at(-1)
    if (last && span.start <= last.end) whole[whole.length - 1] = { start: last.start, end: Math.max(last.end, span.end) }
    else whole.push(span)
  }
  return whole
}
