import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LinesPane } from '../../../src/cli/live/lines-pane.ts'
import { PaneFeed } from '../../../src/cli/live/pane-feed.ts'
import { idsOf } from './results.ts'

function paneOf(count: number, textOf: (index: number) => string = (index) => `line ${index}`): LinesPane {
  const pane = new LinesPane()
  for (const [index, id] of idsOf(count).entries()) pane.add(id, 'stdout', textOf(index))
  return pane
}

const texts = (pane: LinesPane, height = 3): string[] => pane.rows(height).map(({ text }) => text)
const shown = (pane: LinesPane, height = 3): string[] => pane.rows(height).map(({ hosts, text }) => `${hosts}: ${text}`)

describe('the lines of output', () => {
  it('are shown the newest last', () => {
    expect(texts(paneOf(5))).toEqual(['line 2', 'line 3', 'line 4'])
    expect(texts(paneOf(2))).toEqual(['line 0', 'line 1'])
  })

  it('are kept up to two thousand', () => {
    const pane = paneOf(2500)
    expect(pane.rows(9999)).toHaveLength(2000)
    expect(texts(pane, 1)).toEqual(['line 2499'])
  })

  it('are cut where no terminal shows more', () => {
    expect(texts(paneOf(1, () => 'x'.repeat(16_000)))).toEqual(['x'.repeat(2000)])
  })

  it('stay where they are while newer ones come, once they were scrolled', () => {
    const pane = paneOf(10)
    pane.scroll(2)
    expect(texts(pane)).toEqual(['line 5', 'line 6', 'line 7'])
    pane.add('vm011', 'stdout', 'new')
    expect(texts(pane)).toEqual(['line 5', 'line 6', 'line 7'])
    expect(pane.below).toBe(3)
    pane.scroll(-Infinity)
    expect(texts(pane)).toEqual(['line 8', 'line 9', 'new'])
  })

  it('are scrolled no further than to the first and the last', () => {
    const pane = paneOf(5)
    pane.scroll(99)
    expect(texts(pane)).toEqual(['line 0', 'line 1', 'line 2'])
    pane.scroll(-99)
    expect(texts(pane)).toEqual(['line 2', 'line 3', 'line 4'])
  })

  it('fold where hosts wrote the same, at the place of the first, and unfold again', () => {
    const pane = paneOf(6, (index) => ['up', 'down'][index % 2] ?? '')
    pane.toggleFold()
    expect(shown(pane)).toEqual(['vm[001,003,005]: up', 'vm[002,004,006]: down'])
    pane.add('vm007', 'stdout', 'up')
    pane.add('vm007', 'stderr', 'up')
    expect(shown(pane)).toEqual(['vm[001,003,005,007]: up', 'vm[002,004,006]: down', 'vm007: up'])
    pane.toggleFold()
    expect(shown(pane, 1)).toEqual(['vm007: up'])
  })

  it('are each in exactly one fold, and no fold has another', () => {
    const line = fc.record({ host: fc.constantFrom(...idsOf(20)), text: fc.constantFrom('a', 'b', '', 'a:b'), stream: fc.constantFrom('stdout' as const, 'stderr' as const) })
    fc.assert(fc.property(fc.array(line), (lines) => {
      const pane = new LinesPane()
      for (const { host, stream, text } of lines) pane.add(host, stream, text)
      pane.toggleFold()
      const keys = pane.rows(999).map(({ stream, text }) => `${stream} ${text}`)
      expect(keys).toEqual([...new Set(lines.map(({ stream, text }) => `${stream} ${text}`))])
    }))
  })
})

describe('what hosts write', () => {
  it('comes in whole lines, whatever the pieces, with control characters made visible', () => {
    const pane = new LinesPane()
    const feed = new PaneFeed(pane)
    for (const piece of ['one\ntw', 'o\n\u001b[2J', '\n\nrest']) feed.add('vm001', 'stdout', Buffer.from(piece))
    expect(texts(pane, 9)).toEqual(['one', 'two', String.raw`\x1b[2J`, ''])
    feed.end('vm001')
    expect(texts(pane, 1)).toEqual(['rest'])
  })
})
