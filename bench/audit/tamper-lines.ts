import { sha256 } from '../../src/audit/line.ts'

/** Of `,"prev":"<64 digits>","hash":"<64 digits>"}`, with which every line ends. */
const SUFFIX_LENGTH = 149

/** A line as it is written behind another, by whoever has no key: what it says, and the chain computed anew. */
export function chainedLine(line: string, prev: string): { readonly line: string; readonly hash: string } {
  const body = `${line.slice(0, -SUFFIX_LENGTH)},"prev":"${prev}"`
  const hash = sha256(`${body}}`)
  return { line: `${body},"hash":"${hash}"}`, hash }
}

/** The line with that field changed, its hash as it was. */
export function changed(line: string, field: string): string {
  const record = parsed(line)
  return JSON.stringify({ ...record, [field]: another(record[field]) })
}

/** The line with a hash that fits what it says. */
export function rehashed(line: string): string {
  const { hash: _, ...record } = parsed(line)
  return JSON.stringify({ ...record, hash: sha256(JSON.stringify(record)) })
}

/** The fields of a line. */
export function fieldsOf(line: string): readonly string[] {
  return Object.keys(parsed(line))
}

/** The line as a record that signs nothing. */
export function unsigned(line: string): string {
  const { key: _, signature: __, ...record } = parsed(line)
  return JSON.stringify({ ...record, event: 'denied' })
}

/** What a line says. */
export function parsed(line: string): Readonly<Record<string, unknown>> {
  return JSON.parse(line) as Readonly<Record<string, unknown>>
}

/** A value of the same type that is another one. */
function another(value: unknown): unknown {
  if (typeof value === 'number') return value + 1
  if (typeof value === 'string') return /^[0-9a-f]{64}$/.test(value) ? value.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) : `${value}x`
  if (Array.isArray(value)) return [...(value as readonly unknown[]), 'x']
  return value === null ? 'x' : null
}
