import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { printable } from '../../src/core/printable.ts'

describe('printable', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['leaves ordinary text as it is', 'naïve “text” 漢字 😀\tend', 'naïve “text” 漢字 😀\tend'],
    ['shows an escape sequence', '\u001b[31mred', String.raw`\x1b[31mred`],
    ['shows a new line', 'a\nb', String.raw`a\nb`],
    ['shows a carriage return, which would overwrite the line', 'ok\rno', String.raw`ok\rno`],
    ['shows NUL and DEL', '\u0000\u007f', String.raw`\x00\x7f`],
    ['shows C1 controls, which terminals read as escapes', '\u009b31m', String.raw`\x9b31m`],
    ['shows line separators', 'a\u2028b', String.raw`a\u2028b`],
    ['shows bidirectional overrides', 'a\u202Eb\u2066c', String.raw`a\u202eb\u2066c`],
    ['shows direction marks', '\u200e\u200f\u061c', String.raw`\u200e\u200f\u061c`],
  ]
  it.each(cases)('%s', (_sentence, text, shown) => {
    expect(printable(text)).toBe(shown)
  })

  it('never lets a control character through', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(/[^\P{Cc}\t]/u)
        expect(printable(text)).not.toMatch(/\p{Bidi_Control}/u)
      }),
    )
  })

  it('changes nothing the second time', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => printable(printable(text)) === printable(text)))
  })
})
