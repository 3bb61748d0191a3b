import { isUtf8 } from 'node:buffer'
import picomatch from 'picomatch'
import { remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'

/** One rule of a filter. */
export interface FilterRule {
  readonly effect: 'include' | 'exclude'
  /**
   * Without a slash, but for one at its end, the name at any depth; with one, the path from the root of the tree on.
   * A slash at the end: directories only. `*` and `?` stand for what has no slash, `**` between slashes for any number of
   * directories, `[...]` for one character of a set, a backslash makes the next character plain. All else is plain.
   */
  readonly pattern: string
}

/** Whether something is part of the tree; `path` is relative to its root. What is in an excluded directory is never asked for. */
export type TreeFilter = (path: Buffer, isDirectory: boolean) => boolean

/**
 * The first rule that matches decides; what none matches is included. Names are read as UTF-8, and where one is not, as
 * Latin-1, in which every byte is a character. Throws `USAGE` for a pattern that is empty or cannot be read.
 */
export function makeFilter(rules: readonly FilterRule[]): TreeFilter {
  const matchers = rules.map(readRule)
  return (path, isDirectory) => {
    if (matchers.length === 0) return true
    const whole = textOf(path)
    const name = whole.slice(whole.lastIndexOf('/') + 1)
    const decisive = matchers.find((matcher) => {
      return (isDirectory || !matcher.isForDirectories) && matcher.expression.test(matcher.isAnchored ? whole : name)
    })
    return decisive?.effect !== 'exclude'
  }
}

interface Matcher {
  readonly effect: 'include' | 'exclude'
  readonly expression: RegExp
  readonly isAnchored: boolean
  readonly isForDirectories: boolean
}

function readRule({ effect, pattern }: FilterRule): Matcher {
  const path = pattern.replace(/\/+$/, '')
  const expression = expressionOf(path.replace(/^\/+/, ''), pattern)
  return { effect, expression, isAnchored: path.includes('/'), isForDirectories: path !== pattern }
}

/** Only what {@link FilterRule} tells has a meaning; braces, quotes and extended patterns are plain characters, as for rsync. */
const OPTIONS = {
  dot: true,
  nobrace: true,
  noextglob: true,
  nonegate: true,
  keepQuotes: true,
  posix: true,
  literalBrackets: false,
  strictBrackets: true,
  // Else `dir/**` matches `dir` too, and what is included in it would never be reached.
  strictSlashes: true,
  // The short cuts for common patterns leave out names that the whole parser takes: `*.*` and `a.`
  fastpaths: false,
  // A name may have a newline.
  flags: 's',
  windows: false,
  debug: true,
} as const

/** What has a meaning for picomatch, whatever its options, or for the regular expression it makes. */
const SPECIAL = /\\.|[(){}|+"]/gs

function expressionOf(path: string, pattern: string): RegExp {
  if (path === '' || path.includes('\0')) throw unreadable(pattern)
  try {
    return picomatch.makeRe(path.replace(SPECIAL, (special) => (special.length === 1 ? `\\${special}` : special)), OPTIONS)
  } catch (error) {
    throw unreadable(pattern, error)
  }
}

function unreadable(pattern: string, cause?: unknown): Error {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  const what = pattern === '' ? 'a pattern is empty' : `the pattern ${JSON.stringify(pattern)} cannot be read${why}`
  return remexError('USAGE', printable(what), { hint: 'Put a backslash before a bracket that is part of a name.', cause })
}

function textOf(path: Buffer): string {
  if (isUtf8(path)) return path.toString()
  const components = path.toString('latin1').split('/').map((component) => Buffer.from(component, 'latin1'))
  return components.map((component) => component.toString(isUtf8(component) ? 'utf8' : 'latin1')).join('/')
}
