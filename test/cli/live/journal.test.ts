import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { Journal } from '../../../src/cli/live/journal.ts'

const failed = (error: unknown): void => {
  throw error
}

/** All that is printed of a journal, and the journal closed. */
async function printed(journal: Journal): Promise<string> {
  const pieces: Uint8Array[] = []
  await journal.replay((data) => void pieces.push(Buffer.from(data)), () => undefined)
  await journal.close()
  return Buffer.concat(pieces).toString()
}

describe('the journal of what is printed', () => {
  it('gives back all that was added, in its order', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.uint8Array({ max: 127 }))), async (pieces) => {
      const journal = Journal.open(failed)
      for (const piece of pieces) await journal.append(piece)
      expect(await printed(journal)).toBe(pieces.map((piece) => Buffer.from(piece).toString()).join(''))
    }), { numRuns: 50 })
  })

  it('gives back what is much, and holds back who adds it faster than it can be kept', async () => {
    const journal = Journal.open(failed)
    const line = `${'x'.repeat(99)}\n`
    let waits = 0
    for (let count = 0; count < 50_000; count++) {
      const room = journal.append(line)
      if (room) waits++
      await room
    }
    expect(waits).toBeGreaterThan(0)
    expect(await printed(journal)).toHaveLength(5_000_000)
  })

  it('gives back what comes while it is given back, before it says that it is done', async () => {
    const journal = Journal.open(failed)
    await journal.append('one ')
    let text = ''
    const print = (data: Uint8Array): void => {
      text += Buffer.from(data).toString()
      if (text === 'one ') void journal.append('two')
    }
    await journal.replay(print, () => (text += '.'))
    await journal.close()
    expect(text).toBe('one two.')
  })

  it('lets nobody go on while it is given back, so that it comes to an end', async () => {
    const journal = Journal.open(failed)
    await journal.append('one')
    const order: string[] = []
    const replay = journal.replay(() => undefined, () => void order.push('done'))
    await Promise.all([replay, Promise.resolve(journal.append('two')).then(() => order.push('room'))])
    await journal.close()
    expect(order).toEqual(['done', 'room'])
  })

  it('can be printed at once, what is on its way to the file too', async () => {
    const journal = Journal.open(failed)
    void journal.append('one ')
    void journal.append('two')
    const pieces: string[] = []
    journal.replayNow((data) => void pieces.push(Buffer.from(data).toString()))
    expect(pieces.join('')).toBe('one two')
    await journal.close()
  })

  it('has of much only the end printed at once, and says so', async () => {
    const journal = Journal.open(failed)
    for (let count = 0; count < 40; count++) await journal.append('y'.repeat(64 * 1024))
    await journal.append('z'.repeat(1024 * 1024))
    // Whatever is on its way is in the file when this is.
    await journal.append('end'.padStart(1024 * 1024))
    const pieces: string[] = []
    journal.replayNow((data) => void pieces.push(Buffer.from(data).toString()))
    expect(pieces[0]).toMatch(/^remex: .* of output are not shown: left at once\n$/)
    expect(pieces.join('').length).toBeLessThan(3.1 * 1024 * 1024)
    expect(pieces.join('').endsWith('end')).toBe(true)
    await journal.close()
  })

  it('leaves no name behind from its first moment', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'remex-journal-'))
    vi.stubEnv('TMPDIR', folder)
    const journal = Journal.open(failed)
    expect(await readdir(folder)).toEqual([])
    await journal.close()
    vi.unstubAllEnvs()
    await rm(folder, { recursive: true })
  })

  it('cannot be where there is no room for it', () => {
    vi.stubEnv('TMPDIR', '/nonexistent')
    expect(() => Journal.open(failed)).toThrow(/ENOENT/)
    vi.unstubAllEnvs()
  })
})
