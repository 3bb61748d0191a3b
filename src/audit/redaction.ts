import type { Secret } from '../core/secret.ts'

const PLACEHOLDER = '[secret]'

/** Where a secret stands in a text: from `start` up to, not including, `end`. */
interface Span {
  readonly start: number
  readonly end: number
}

/**
 * `text` with `[secret]` in place of every value of `secrets`, as it is and as a shell word quotes it. Where values
 * overlap or touch, all that they cover becomes one placeholder, so that no rest of one shows beside the other.
 * An empty secret hides nothing.
 */
export function redact(text: string, secrets: readonly Secret[]): string {
  const spans = [...secrets.flatMap(forms)].flatMap((form) => occurrences(text, form))
  if (spans.length === 0) return text
  const pieces: string[] = []
  let shown = 0
  for (const { start, end } of merged(spans)) {
    pieces.push(text.slice(shown, start), PLACEHOLDER)
    shown = end
  }
  return pieces.join('') + text.slice(shown)
}

/** The value, and the value between single quotes of a POSIX shell; none of an empty secret. */
function forms(secret: Secret): readonly string[] {
  const value = secret.reveal()
  if (value === '') return []
  return value.includes("'") ? [value, value.replaceAll("'", String.raw`'\''`)] : [value]
}

function occurrences(text: string, value: string): readonly Span[] {
  const found: Span[] = []
  for (let start = text.indexOf(value); start !== -1; start = text.indexOf(value, start + 1)) {
    found.push({ start, end: start + value.length })
  }
  return found
}

function merged(spans: readonly Span[]): readonly Span[] {
  const whole: Span[] = []
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    const last = whole.at(-1)
    if (last && span.start <= last.end) whole[whole.length - 1] = { start: last.start, end: Math.max(last.end, span.end) }
    else whole.push(span)
  }
  return whole
}
