import { tmpdir } from 'node:os'
import { applyPatch } from 'diff'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { differences, sideOf, type Side } from '../../../src/cli/gather/diff.ts'
import { SpoolStore } from '../../../src/cli/gather/spool-store.ts'
import { Spool } from '../../../src/cli/gather/spool.ts'

let store: SpoolStore

beforeEach(() => {
  store = new SpoolStore(tmpdir())
})

afterEach(async () => {
  await store[Symbol.asyncDispose]()
})

async function side(name: string, bytes: string | Buffer): Promise<Side> {
  const spool = new Spool(store)
  await spool.add(Buffer.from(bytes))
  return sideOf(name, spool)
}

async function compared(from: string | Buffer, other: string | Buffer): Promise<string[]> {
  return differences(await side('vm[1-9]', from), await side('vm10', other))
}

const numbers = (count: number, word = ''): string => Array.from({ length: count }, (_, index) => `${word}${index}\n`).join('')

describe('the differences of two outputs', () => {
  it('are a unified diff with three lines around each', async () => {
    const lines = numbers(9)
    expect(await compared(lines, lines.replace('4\n', 'four\n'))).toEqual(['--- vm[1-9]', '+++ vm10', '@@ -2,7 +2,7 @@', ' 1', ' 2', ' 3', '-4', '+four', ' 5', ' 6', ' 7'])
  })

  it.each([
    ['bytes that are no UTF-8', Buffer.from([0x61, 0xff]), 'a\n', 'differs: 2 bytes; vm[1-9]: 2 bytes'],
    ['bytes of a program', 'a\0b', 'a\n', 'differs: 2 bytes; vm[1-9]: 3 bytes'],
    ['more than a mebibyte', 'a\n', 'x'.repeat(1024 * 1024 + 1), 'differs: 1,048,577 bytes; vm[1-9]: 2 bytes'],
    ['what has little in common', numbers(800, 'a'), numbers(800, 'b'), 'differs in most lines: 3,890 bytes; vm[1-9]: 3,890 bytes'],
    ['a last line without its end', 'a\n', 'a', 'differs only in what lines do not show: 1 byte; vm[1-9]: 2 bytes'],
  ])('are the sizes alone for %s', async (_, from, other, line) => {
    expect(await compared(from, other)).toEqual([line])
  })

  it('show control characters', async () => {
    expect(await compared('a\n', 'a\u001b[2J\n')).toContain(String.raw`+a\x1b[2J`)
  })

  it('keep the spaces at the end of the last line', async () => {
    expect((await compared('a\n', 'a  \n')).at(-1)).toBe('+a  ')
  })

  it('are what makes the one of the other', async () => {
    const text = fc.array(fc.constantFrom('a', 'b', '', 'c ', '+d', '-e'), { maxLength: 20 }).map((lines) => lines.map((line) => `${line}\n`).join(''))
    await fc.assert(
      fc.asyncProperty(text, text, async (from, other) => {
        fc.pre(from !== other)
        expect(applyPatch(from, `${(await compared(from, other)).join('\n')}\n`)).toBe(other)
      }),
    )
  })

  it('are found in a moment, also in large outputs', async () => {
    const from = numbers(100_000)
    const startMs = performance.now()
    expect((await compared(from, `${from.slice(0, 200_000)}x\n${from.slice(200_000)}`)).length).toBeLessThan(20)
    await compared(from, numbers(100_000, 'x'))
    expect(performance.now() - startMs).toBeLessThan(5000)
  })
})
