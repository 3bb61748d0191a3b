import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { makeFilter } from '../../../src/transfer/tree/filter.ts'
import type { FilterRule } from '../../../src/transfer/tree/filter.ts'

/** Whether the one pattern matches. A path that ends in a slash is a directory. */
const matches = (pattern: string, path: string | Buffer): boolean => {
  const whole = Buffer.from(path)
  const isDirectory = whole.at(-1) === 0x2f
  return !makeFilter([{ effect: 'exclude', pattern }])(isDirectory ? whole.subarray(0, -1) : whole, isDirectory)
}

describe('a pattern', () => {
  it.each([
    ['without a slash matches the name at the root', '*.o', 'main.o', true],
    ['without a slash matches the name at any depth', '*.o', 'src/lib/main.o', true],
    ['without a slash does not match a directory above', 'src', 'src/main.o', false],
    ['matches the whole name, not a part', 'main', 'main.o', false],
    ['with a slash at the start is anchored at the root', '/main.o', 'main.o', true],
    ['with a slash at the start is not found deeper', '/main.o', 'src/main.o', false],
    ['with a slash within is anchored too', 'src/*.o', 'src/main.o', true],
    ['with a slash within is not found deeper', 'src/*.o', 'lib/src/main.o', false],
    ['with a slash at the end matches a directory', 'build/', 'src/build/', true],
    ['with a slash at the end does not match a file', 'build/', 'src/build', false],
    ['with a slash at both ends matches a directory of the root', '/build/', 'build/', true],
    ['with a slash at both ends does not match deeper', '/build/', 'src/build/', false],
    ['without one at its end matches a directory too', 'build', 'build/', true],
    ['has stars that do not cross a slash', 'src/*', 'src/lib/main.o', false],
    ['has stars that match a dot at the start', '*', '.hidden', true],
    ['has stars that match nothing', 'a*b', 'ab', true],
    ['has stars that match a newline', 'a*b', 'a\nb', true],
    ['has stars that match names which end in a dot', '*.*', 'a.', true],
    ['has double stars that cross slashes', 'src/**/main.o', 'src/a/b/main.o', true],
    ['has double stars that stand for no directory', 'src/**/main.o', 'src/main.o', true],
    ['has double stars at the start for any depth', '**/main.o', 'a/b/main.o', true],
    ['has double stars at the start for the root', '**/main.o', 'main.o', true],
    ['has double stars that cross a newline', '**/main.o', 'a\nb/main.o', true],
    ['with double stars at the end matches what is in a directory', 'src/**', 'src/a/b', true],
    ['with double stars at the end does not match the directory itself', 'src/**', 'src/', false],
    ['has a question mark for one character', 'a?c', 'abc', true],
    ['has a question mark that is not a slash', 'a/b?c', 'a/b/c', false],
    ['has a question mark for one character of several bytes', 'a?c', 'aüc', true],
    ['has sets', '[ab].o', 'b.o', true],
    ['has sets that are not words', '[ab].o', '[ab].o', false],
    ['has ranges', 'file-[0-9]', 'file-7', true],
    ['has sets turned round by !', '[!ab].o', 'b.o', false],
    ['has sets turned round by ^', '[^ab].o', 'c.o', true],
    ['has turned sets that are not a slash', 'a/b[!x]c', 'a/b/c', false],
    ['has classes of characters', 'file-[[:digit:]]', 'file-7', true],
    ['takes a backslash as quoting', String.raw`\*.o`, 'a.o', false],
    ['takes what is quoted as it is', String.raw`\*.o`, '*.o', true],
    ['takes a quoted bracket as it is', String.raw`\[ab\]`, '[ab]', true],
    ['takes braces as they are', '{a,b}', 'a', false],
    ['takes braces literally', 'a{2}', 'a{2}', true],
    ['takes parentheses literally', 'copy (1)', 'copy (1)', true],
    ['does not group by parentheses', '(a)', 'a', false],
    ['takes extended patterns literally', '+(a)', 'aa', false],
    ['takes a bar literally', 'a|b', 'a', false],
    ['takes an exclamation mark literally', '!a', 'b', false],
    ['takes an exclamation mark at the start literally', '!a', '!a', true],
    ['takes a plus literally', 'c++', 'c++', true],
    ['takes quotation marks literally', '"a"', '"a"', true],
    ['takes a dollar and a caret literally', '^a$', '^a$', true],
    ['takes a dot literally', 'a.o', 'abo', false],
    ['takes a colon, an at and a hash literally', '#a@b:c', '#a@b:c', true],
    ['of other letters is told from its bytes', 'ü*', 'über', true],
  ])('%s', (_what, pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected)
  })

  it.each([
    ['a name that is not UTF-8 by its plain bytes', '*.txt', Buffer.from('caf\xe9.txt', 'latin1'), true],
    ['such a name by its Latin-1 letters', 'café.txt', Buffer.from('caf\xe9.txt', 'latin1'), true],
    ['a question mark against one byte of it', 'caf?.txt', Buffer.from('caf\xe9.txt', 'latin1'), true],
    ['a directory in UTF-8 above it as UTF-8', 'ü/*', Buffer.concat([Buffer.from('ü/'), Buffer.from([0xff, 0xfe])]), true],
    ['another name not at all', '*.txt', Buffer.from([0xff, 0xfe]), false],
  ])('matches %s', (_what, pattern, path, expected) => {
    expect(matches(pattern, path)).toBe(expected)
  })

  it.each([
    ['an empty one', '', /a pattern is empty/],
    ['one that is nothing but slashes', '//', /the pattern "\/\/" cannot be read/],
    ['a set without an end', 'a[b', /the pattern "a\[b" cannot be read: Missing closing/],
    ['an end without a set', 'a]b', /cannot be read: Missing opening/],
    ['a range that runs backwards', '[z-a]', /cannot be read: Invalid regular expression/],
    ['a NUL', 'a\0b', /cannot be read/],
    ['one too long for any path', 'a'.repeat(70_000), /cannot be read: Input length/],
  ])('is USAGE with its own words for %s', (_what, pattern, words) => {
    expect(() => makeFilter([{ effect: 'include', pattern }])).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(words) }))
  })

  it('that can be read never throws, whatever the bytes of a name', () => {
    const rules: FilterRule[] = ['*a', 'a/**/b', '[!x]?', 'ü'].map((pattern) => ({ effect: 'exclude', pattern }))
    const filter = makeFilter(rules)
    fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.boolean(), (bytes, isDirectory) => {
      expect(filter(Buffer.from(bytes), isDirectory)).toBeTypeOf('boolean')
    }))
  })

  it('of plain letters matches itself and nothing else', () => {
    const name = fc.stringMatching(/^[^/\0*?[\]\\]{1,12}$/u).filter((text) => !['.', '..'].includes(text))
    fc.assert(fc.property(name, name, (pattern, other) => {
      expect(matches(pattern, pattern)).toBe(true)
      expect(matches(pattern, other)).toBe(pattern === other)
    }))
  })
})

describe('makeFilter', () => {
  it('includes everything without rules', () => {
    expect(makeFilter([])(Buffer.from('a'), false)).toBe(true)
  })

  it.each([
    ['the first rule that matches', 'keep.log', true],
    ['a later one for what the first does not match', 'drop.log', false],
    ['include for what no rule matches', 'main.c', true],
  ])('decides by %s', (_what, path, expected) => {
    const rules: FilterRule[] = [
      { effect: 'include', pattern: 'keep.log' },
      { effect: 'exclude', pattern: '*.log' },
      { effect: 'include', pattern: 'drop.log' },
    ]
    expect(makeFilter(rules)(Buffer.from(path), false)).toBe(expected)
  })
})
