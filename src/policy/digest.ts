import { createHash } from 'node:crypto'

/** Plain data: what an approval binds. A `Secret` does not fit. */
export type Bound = string | number | boolean | null | undefined | readonly Bound[] | { readonly [name: string]: Bound }

/** The SHA-256 of plain data, hexadecimal: the same for the same data, however its maps are ordered, and for no other. */
export function boundDigest(bound: Bound): string {
  // The first words keep it apart from the hashes of anything else.
  return createHash('sha256').update('remex approval 1\n').update(canonical(bound)).digest('hex')
}

/** JSON with the keys of maps in order, and without what is undefined. */
export function canonical(bound: Bound): string {
  if (Array.isArray(bound)) return `[${bound.map((item: Bound) => canonical(item)).join(',')}]`
  if (typeof bound !== 'object' || bound === null) return JSON.stringify(bound ?? null)
  const entries = Object.entries(bound).filter(([, value]) => value !== undefined).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${canonical(value)}`).join(',')}}`
}
