import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readLines } from '../../src/audit/line-reader.ts'
import { readLinesBackward } from '../../src/audit/read/lines-backward.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-lines-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Describes lines without holding them. */
const about = (bytes: Buffer): string => `${bytes.length} ${bytes.toString('latin1', 0, 1)}`

it('lines are the same from the end as from the beginning, but for those that are too long', async () => {
  // Chunks have 262,144 bytes, and lines over 1,048,576 are none.
  const length = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 262_100, max: 262_200 }), fc.integer({ min: 0, max: 1_200_000 }))
  await fc.assert(
    fc.asyncProperty(fc.array(length, { maxLength: 6 }), fc.integer({ min: 0, max: 300_000 }), async (lengths, tornBytes) => {
      const path = join(folder, 'lines')
      await writeFile(path, lengths.map((count, at) => `${String(at).repeat(count)}\n`).join('') + 't'.repeat(tornBytes))
      await using file = await open(path)
      const forward: string[] = []
      for await (const lines of readLines(file)) forward.push(...lines.map(({ bytes, endOffset }) => `${endOffset - bytes.length - 1} ${about(bytes)}`))
      const backward: string[] = []
      for await (const lines of readLinesBackward(file)) backward.push(...lines.map(({ bytes, offset }) => `${offset} ${about(bytes)}`))
      // From the beginning a line that is too long is an empty one.
      const isLine = (_: string, at: number): boolean => (lengths[at] ?? 0) < 1_048_576
      expect(backward.toReversed()).toEqual(forward.filter(isLine))
    }),
    { numRuns: 25 },
  )
})
