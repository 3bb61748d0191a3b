import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { quoteWord, quoteWords } from '../../src/core/quote.ts'

/** Every shell of the list that this machine has: the words before `-c`. */
const SHELLS = [['/bin/sh'], ['dash'], ['bash'], ['bash', '--posix'], ['busybox', 'sh'], ['zsh', '-f'], ['ksh'], ['mksh']].filter(
  ([file = '', ...args]) => spawnSync(file, [...args, '-c', 'exit 0']).status === 0,
)

/** What the shell makes of `text` after `printf`: the words it saw. */
function wordsSeenBy([file = '', ...args]: readonly string[], text: string): string[] {
  const run = spawnSync(file, [...args, '-c', `printf '%s\\0' ${text}`], { encoding: 'utf8', maxBuffer: 1 << 26 })
  expect(run.stderr).toBe('')
  return run.stdout.split('\0').slice(0, -1)
}

const SPECIAL = '\'"\\`$(){}[]*?~!#&|;<>=+%^-, \t\n\r\u007f\u0080é—😀a1'
const WORDS = ['', '-', '--', '-n', '=ls', 'a=b', 'a+=b', '~', '~root', '*', '!!', '$HOME', '$(id)', '`id`', "'", "''", '\n', '\\', '%1']

/** Text that a command line can carry: any Unicode but NUL and lone surrogates, rich in what shells care about. */
const word = fc
  .oneof(
    { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
    { weight: 2, arbitrary: fc.string({ unit: fc.constantFrom(...SPECIAL), maxLength: 12 }) },
    // Bytes, each as the character of the same number: what a file name in another encoding looks like.
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('latin1')) },
    { weight: 1, arbitrary: fc.constantFrom(...WORDS) },
  )
  .map((text) => text.replaceAll('\0', ''))

describe('quoteWord', () => {
  it('finds at least /bin/sh to be tested against', () => {
    expect(SHELLS).toContainEqual(['/bin/sh'])
  })

  describe.each(SHELLS.map((shell) => [shell.join(' '), shell] as const))('read by %s', (_name, shell) => {
    it('comes out as the words that went in, whatever their characters', () => {
      fc.assert(
        fc.property(fc.array(word, { minLength: 1, maxLength: 40 }), (words) => {
          expect(wordsSeenBy(shell, words.map(quoteWord).join(' '))).toEqual(words)
        }),
        { numRuns: 60 },
      )
    })

    it('keeps the bytes of a long word', () => {
      const long = `it's "${'x'.repeat(60_000)}" $(id)`
      expect(wordsSeenBy(shell, quoteWord(long))).toEqual([long])
    })

    it('runs what stands first as a command, never as an assignment or grammar of the shell', () => {
      for (const first of ['a=b', 'a+=b', '=ls', 'if', 'while', 'time', 'function', 'case', '!', '{', '[[', '((', 'coproc', 'select']) {
        const [file = '', ...args] = shell
        const run = spawnSync(file, [...args, '-c', quoteWords([first, 'true'])], { encoding: 'utf8', env: { PATH: '/nonexistent' } })
        // `[[` and `time` are commands in some shells; none of them may succeed or be a syntax error.
        expect([first, run.status === 0, /syntax|parse error|unexpected/i.test(run.stderr)]).toEqual([first, false, false])
      }
    })
  })

  const shown: readonly (readonly [string, string, string])[] = [
    ['leaves a plain word as it is', 'uptime', 'uptime'],
    ['leaves a path as it is', '/var/log/a-b_c.1,2:3@4%5', '/var/log/a-b_c.1,2:3@4%5'],
    ['leaves a long option with a value as it is', '--since=today', '--since=today'],
    ['quotes an empty word', '', "''"],
    ['quotes a space', 'a b', "'a b'"],
    ['quotes a single quote', "it's", String.raw`'it'\''s'`],
    ['quotes a tilde', '~', "'~'"],
    ['quotes an assignment', 'a=b', "'a=b'"],
    ['quotes letters that are not ASCII', 'é', "'é'"],
  ]
  it.each(shown)('%s', (_sentence, raw, quoted) => {
    expect(quoteWord(raw)).toBe(quoted)
  })

  it('refuses a NUL, which no shell can carry', () => {
    expect(() => quoteWord('a\0b')).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})

describe('quoteWords', () => {
  it('joins words by one space', () => {
    expect(quoteWords(['df', '-h', '/my data'])).toBe("df -h '/my data'")
  })

  it('quotes a word of the shell’s grammar only where it stands first', () => {
    expect(quoteWords(['if', 'if'])).toBe("'if' if")
  })

  it('refuses an empty list', () => {
    expect(() => quoteWords([])).toThrow(expect.objectContaining({ code: 'USAGE', message: 'there is no command' }))
  })
})
