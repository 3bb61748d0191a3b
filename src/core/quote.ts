import { remexError } from './errors.ts'

const BARE = /^[A-Za-z0-9_/.,:@%+=-]+$/

/**
 * `word` as one word of a POSIX shell, whatever characters it has.
 * Throws `USAGE` for a NUL, which no shell can carry.
 * Source: POSIX.1-2017, Shell Command Language, 2.2.2 Single-Quotes.
 */
export function quoteWord(word: string): string {
  if (word.includes('\0')) throw remexError('USAGE', 'a word with a NUL character cannot be passed to a shell')
  // A bare `a=b` in front would be an assignment, and `~` is left out of BARE because it is expanded.
  if (BARE.test(word) && !/^[A-Za-z_][A-Za-z0-9_]*=/.test(word)) return word
  return `'${word.replaceAll("'", String.raw`'\''`)}'`
}

/** An argument vector as shell text. Throws `USAGE` for an empty one. */
export function quoteWords(words: readonly string[]): string {
  if (words.length === 0) throw remexError('USAGE', 'there is no command')
  return words.map(quoteWord).join(' ')
}
