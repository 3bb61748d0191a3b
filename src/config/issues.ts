import type * as z from 'zod/mini'
import { nearest } from '../core/nearest.ts'
import { printable } from '../core/printable.ts'
import type { Problem } from './problems.ts'
import { keysAt } from './schema.ts'

type Issue = z.core.$ZodIssue

/** Keys whose values may be secret: messages never show them. */
const SECRET_KEY = /pass|secret|token|credential|private|(?:^|_)key$/i
/** Values that are secret whatever their key. */
const SECRET_VALUE = /PRIVATE KEY/
const LONGEST_SHOWN = 60

/** What a schema found, as problems with their whole paths; one for each place. */
export function problemsOf(issues: readonly Issue[], path: readonly PropertyKey[]): Problem[] {
  const problems = issues.flatMap((issue) => problemsOfIssue(issue, [...path, ...issue.path]))
  return [...new Map(problems.reverse().map((problem) => [JSON.stringify(problem.path.map(String)), problem])).values()].reverse()
}

function problemsOfIssue(issue: Issue, path: readonly PropertyKey[]): Problem[] {
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey([...path, key]))
  if (issue.code === 'invalid_key') {
    return [{ path, isKey: true, what: expected(issue.issues[0]?.message ?? issue.message, issue.input, path) }]
  }
  if (issue.code === 'invalid_union') {
    // A list with a wrong entry: the entry is the problem, not the list.
    const inside = issue.errors.find((option) => option.length > 0 && option.every((nested) => nested.path.length > 0))
    if (inside) return problemsOf(inside, path)
  }
  const wantsText = issue.code === 'invalid_type' && issue.expected === 'string' && ['number', 'boolean'].includes(typeof issue.input)
  return [{ path, what: expected(issue.message, issue.input, path) + (wantsText ? '; put it in quotes' : '') }]
}

/** A key that is not known, with the nearest that is. */
function unknownKey(path: readonly PropertyKey[]): Problem {
  const known = keysAt(path.slice(0, -1))
  const meant = nearest(String(path.at(-1)), known)
  return { path, isKey: true, what: `unknown key${meant === undefined ? `; known here: ${known.join(', ')}` : `; did you mean ${meant}?`}` }
}

function expected(what: string, got: unknown, path: readonly PropertyKey[]): string {
  return got === undefined ? `missing; expected ${what}` : `expected ${what}, got ${shown(got, path)}`
}

function shown(value: unknown, path: readonly PropertyKey[]): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty map' : 'a map'
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return `a ${typeof value}`
  const key = path.findLast((segment) => typeof segment === 'string') ?? ''
  if (SECRET_KEY.test(key) || SECRET_VALUE.test(String(value))) return 'a value that is not shown here'
  if (typeof value !== 'string') return `the ${typeof value} ${value}`
  if (value === '') return 'an empty text'
  return `the text ${JSON.stringify(printable(value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN - 1)}…` : value))}`
}
