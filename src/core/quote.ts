import { remexError } from './errors.ts'

const BARE = /^[A-Za-z0-9_/.,:@%+=-]+$/
/** An assignment where a command is expected (`a+=b` in bash), or a path look-up in zsh (`=ls`). */
const ASSIGNMENT = /^(?:[A-Za-z_][A-Za-z0-9_]*\+?)?=/
/** Words that a shell reads as grammar when they stand first and bare. Source: POSIX.1-2017 2.4, bash, zsh. */
const RESERVED = new Set(
  ('if then else elif fi do done case esac while until for in select function time coproc ' +
    'foreach end repeat nocorrect noglob always namespace').split(' '),
)

/**
 * `word` as one word of a POSIX shell, whatever characters it has.
 * Throws `USAGE` for a NUL, which no shell can carry.
 * Source: POSIX.1-2017, Shell Command Language, 2.2.2 Single-Quotes.
 */
export function quoteWord(word: string): string {
  if (word.includes('\0')) throw remexError('USAGE', 'a word with a NUL character cannot be passed to a shell')
  // `~` is left out of BARE because it is expanded.
  return BARE.test(word) && !ASSIGNMENT.test(word) ? word : inSingleQuotes(word)
}

/** An argument vector as shell text. Throws `USAGE` for an empty one. */
export function quoteWords(words: readonly string[]): string {
  if (words.length === 0) throw remexError('USAGE', 'there is no command')
  const [first = ''] = words
  const quoted = words.map(quoteWord)
  if (RESERVED.has(first)) quoted[0] = inSingleQuotes(first)
  return quoted.join(' ')
}

const inSingleQuotes = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`
