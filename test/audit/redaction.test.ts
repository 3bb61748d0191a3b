import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { redact } from '../../src/audit/redaction.ts'
import { quoteWord } from '../../src/core/quote.ts'
import { Secret } from '../../src/core/secret.ts'

const CASES: [string, string, string[], string][] = [
  ['a value that stands once', 'login --token hunter2 now', ['hunter2'], 'login --token [secret] now'],
  ['a value that stands twice', 'x x', ['x'], '[secret] [secret]'],
  ['the longer of two values that begin alike', 'abcdef abc', ['abc', 'abcdef'], '[secret] [secret]'],
  ['values that overlap, without a rest of either', 'abcd', ['abc', 'bcd'], '[secret]'],
  ['a value that repeats itself', 'aaa', ['aa'], '[secret]'],
  ['values that touch, as one', 'onetwo', ['one', 'two'], '[secret]'],
  ['a value that is a part of the placeholder, once only', 'a secret thing', ['secret'], 'a [secret] thing'],
  ['a value with a quote as a shell word has it', String.raw`echo 'it'\''s'`, ["it's"], "echo '[secret]'"],
  ['nothing for an empty value', 'echo', [''], 'echo'],
  ['nothing where there is no secret', 'echo', [], 'echo'],
  ['characters that a pattern would read', 'a.*b', ['.*'], 'a[secret]b'],
]

describe('redact', () => {
  it.each(CASES)('hides %s', (_, text, secrets, expected) => {
    expect(redact(text, secrets.map((value) => new Secret(value)))).toBe(expected)
  })

  it('leaves no value in sight, however values overlap, plain or quoted', () => {
    const value = fc.string({ minLength: 1, maxLength: 4, unit: fc.constantFrom('x', 'y', "'", ' ') })
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 3 }), fc.array(fc.string({ maxLength: 5 })), (values, around) => {
        const words = around.flatMap((text, at) => [text, values[at % values.length] ?? '', quoteWord(values[at % values.length] ?? '')])
        const shown = redact(words.join(''), values.map((one) => new Secret(one)))
        const inSight = shown.split('[secret]').filter((piece) => values.some((one) => piece.includes(one)))
        expect(inSight).toEqual([])
      }),
    )
  })
})
