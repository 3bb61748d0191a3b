import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** One thing that is wrong in a configuration. */
export interface Problem {
  /** Where: `['vms', 'vm01', 'ip']`. */
  readonly path: readonly PropertyKey[]
  /** What is wrong there, in words. */
  readonly what: string
  /** Whether the key itself is wrong, not its value. Default: the value. */
  readonly isKey?: boolean
}

/** Finds the place of a problem in the file: line and column, from 1; undefined for a configuration without a file. */
export type Locate = (problem: Problem) => { readonly line: number; readonly col: number } | undefined

/** How many problems one message lists. */
const LISTED = 20

/** `CONFIG_INVALID` with all problems, each with its place, in the order of the file; the first 20 where there are more. */
export function configInvalid(label: string, problems: readonly Problem[], locate: Locate): RemexError {
  const placed = problems.map((problem) => ({ problem, place: locate(problem) }))
  placed.sort((one, other) => (one.place?.line ?? 0) - (other.place?.line ?? 0) || (one.place?.col ?? 0) - (other.place?.col ?? 0))
  const lines = placed.slice(0, LISTED).map(({ problem: { path, what }, place }) => {
    const file = printable(label) + (place ? `:${place.line}:${place.col}` : '')
    return path.length === 0 ? `${file}: ${what}` : `${file}: ${showPath(path)}: ${what}`
  })
  const more = problems.length > LISTED ? [`and ${problems.length - LISTED} more`] : []
  const [only = ''] = lines
  const all = [`${printable(label)} has ${problems.length} problems:`, ...lines, ...more]
  return remexError('CONFIG_INVALID', problems.length === 1 ? only : all.join('\n  '))
}

/** `vms.vm01.host_key[0]`, on one line and of bounded length. */
function showPath(path: readonly PropertyKey[]): string {
  const shown = path.map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index > 0 ? '.' : ''}${String(key)}`)).join('')
  return printable(shown.length > 200 ? `${shown.slice(0, 199)}…` : shown)
}
