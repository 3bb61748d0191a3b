import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { tarStream, type TarMember } from '../../../src/transfer/batch/tar.ts'

const member = (content: Buffer, more: Partial<TarMember> = {}): TarMember => ({ name: '000000', content, mode: 0o640, mtime: 1_000_000_000, ...more })

/** The archive as the machine's tar lists it. */
async function listed(members: readonly TarMember[]): Promise<string[]> {
  const archive = await buffer(tarStream(members))
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' }
  return execFileSync('tar', ['-tvf', '-'], { input: archive, env }).toString().trim().split('\n')
}

describe('tarStream', () => {
  it('is an archive that tar reads', async () => {
    const lines = await listed([member(Buffer.alloc(0)), member(Buffer.alloc(600), { name: '000001', mode: 0o4711, mtime: 0 })])
    expect(lines).toEqual([
      expect.stringMatching(/^-rw-r----- 0\/0 +0 2001-09-09 01:46.* 000000$/),
      expect.stringMatching(/^-rws--x--x 0\/0 +600 1970-01-01 00:00.* 000001$/),
    ])
  })

  const times: [string, number, string][] = [
    ['a fraction of a second', 1_000_000_000.9, '2001-09-09 01:46'],
    ['before 1970', -5, '1970-01-01 00:00'],
    ['after 2242', 1e12, '2242-03-16 12:56'],
  ]
  it.each(times)('cuts a time with %s', async (_what, mtime, shown) => {
    expect((await listed([member(Buffer.alloc(1), { mtime })]))[0]).toContain(shown)
  })

  it('is whole blocks that end with two of zeros, for no files too', async () => {
    expect(await buffer(tarStream([]))).toEqual(Buffer.alloc(1024))
    for (const size of [0, 1, 511, 512, 513]) expect((await buffer(tarStream([member(randomBytes(size))]))).length).toBe(1024 + 512 + Math.ceil(size / 512) * 512)
  })

  it('puts small files together into chunks', async () => {
    const chunks: Buffer[] = []
    for await (const chunk of tarStream(Array.from({ length: 1000 }, () => member(randomBytes(2048))))) chunks.push(chunk)
    expect(Math.min(...chunks.slice(0, -2).map(({ length }) => length))).toBeGreaterThan(120 * 1024)
    // What waits in the stream comes in one piece.
    expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThanOrEqual(256 * 1024)
  })

  it('makes no more than the reader takes', async () => {
    let taken = 0
    const stream = tarStream(Array.from({ length: 1000 }, () => member(Buffer.alloc(10_000))), () => (taken += 1))
    for await (const _ of stream) break
    expect(taken).toBeLessThan(100)
  })
})
