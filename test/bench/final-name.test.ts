import { mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FinalName, sha256, type Content } from '../../bench/lib/final-name.ts'
import { until } from '../../testkit/until.ts'

const hashOf = (text: string): string => sha256(Buffer.from(text))

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'remex-final-'))
  path = join(folder, 'name')
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Puts `text` under the name in one step, as a transfer does; null removes it. */
function put(text: string | null): void {
  if (text === null) return unlinkSync(path)
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

describe('a final name', () => {
  it.each<[string, readonly Content[], readonly (string | null)[]]>([
    ['the old content, then the new one', [hashOf('old'), hashOf('new')], ['old', 'new']],
    ['nothing, then the new content', [null, hashOf('new')], ['new']],
    ['an empty content', [hashOf('')], ['']],
  ])('may hold %s', (_what, mayHold, texts) => {
    const final = new FinalName(path, mayHold)
    for (const text of texts) {
      put(text)
      expect(final.look()).toBe(text === null ? null : hashOf(text))
    }
    expect(final.wrong).toEqual([])
    expect(final.looks).toBe(texts.length)
  })

  it.each<[string, readonly string[], () => void, string]>([
    ['nothing where something was', ['old', 'new'], () => undefined, 'nothing'],
    ['the beginning of the new content', ['old', 'new'], () => put('ne'), '2 bytes'],
    ['a new content with a hole', ['old', 'new'], () => put('n\0w'), '3 bytes'],
    ['both contents', ['old', 'new'], () => put('oldnew'), '6 bytes'],
  ])('is wrong with %s', (_what, texts, spoil, words) => {
    const final = new FinalName(path, texts.map(hashOf))
    spoil()
    final.look()
    expect(final.wrong).toEqual([`held ${words} that it must never hold, at look 1`])
  })

  it('is read again when a file of the same size took its place, or was written over', () => {
    const final = new FinalName(path, [hashOf('old')])
    put('old')
    expect(final.look(false)).toBe(hashOf('old'))
    expect(final.look(false)).toBeUndefined()
    put('odl')
    final.look(false)
    writeFileSync(path, 'lod')
    final.look(false)
    expect(final.wrong).toHaveLength(2)
  })

  it('that is watched is caught with what it holds only for a moment', async () => {
    const final = new FinalName(path, [null])
    const watch = final.watch()
    put('partial')
    await until(() => final.wrong.length > 0, { what: 'the watch to see it' })
    put(null)
    watch.stop()
    expect(final.wrong[0]).toContain('7 bytes')
  })
})
