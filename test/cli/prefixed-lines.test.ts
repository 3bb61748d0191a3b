import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PrefixedLines } from '../../src/cli/prefixed-lines.ts'

function shownInPieces(bytes: Buffer, sizes: readonly number[]): string {
  const lines = new PrefixedLines('vm01: ')
  let text = ''
  let at = 0
  for (const size of [...sizes, bytes.length]) {
    text += lines.add(bytes.subarray(at, at + size))
    at += size
  }
  return text + lines.end()
}

describe('prefixed lines', () => {
  it.each([
    ['put the host in front of every line', 'a\nb\n', 'vm01: a\nvm01: b\n'],
    ['complete a partial line at the end', 'a\nb', 'vm01: a\nvm01: b\n'],
    ['keep empty lines', '\n\n', 'vm01: \nvm01: \n'],
    ['print nothing for nothing', '', ''],
    ['take the end of a terminal’s line as one', 'a\r\nb\r', 'vm01: a\nvm01: b\n'],
    ['show control characters', 'a\u001b[2J\rb\u202e\tc\n', String.raw`vm01: a\x1b[2J\rb\u202e` + '\tc\n'],
    ['replace what is no UTF-8', Buffer.from([0x61, 0xff, 0x62, 0x0a]), 'vm01: a\ufffdb\n'],
  ])('%s', (_, input, shown) => {
    expect(shownInPieces(Buffer.from(input), [])).toBe(shown)
  })

  it('are the same however the output is cut into chunks', () => {
    const output = fc.string({ unit: fc.constantFrom('a', 'é', '🙂', '\n', '\r', '\u001b', '\0') })
    fc.assert(
      fc.property(output, fc.array(fc.integer({ min: 0, max: 4 })), (text, sizes) => {
        expect(shownInPieces(Buffer.from(text), sizes)).toBe(shownInPieces(Buffer.from(text), []))
      }),
    )
  })

  it('cut a line that never ends, within bounded memory and never within a character', () => {
    const lines = new PrefixedLines('')
    let longestBytes = 0
    let text = ''
    for (let count = 0; count < 64; count++) {
      const part = lines.add(Buffer.from('x' + '🙂'.repeat(4096)))
      longestBytes = Math.max(longestBytes, part.length)
      text += part
    }
    text += lines.end()
    expect(longestBytes).toBeLessThan(64 * 1024)
    expect(text).not.toContain('\ufffd')
    expect(Buffer.from(text).toString('utf8')).toBe(text)
    expect(text.replaceAll('\n', '')).toBe(('x' + '🙂'.repeat(4096)).repeat(64))
  })
})
