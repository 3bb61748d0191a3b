import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Controls } from '../../../src/cli/live/controls.ts'
import { frameOf, hasRoom } from '../../../src/cli/live/frame.ts'
import { LinesPane } from '../../../src/cli/live/lines-pane.ts'
import { RunModel } from '../../../src/cli/live/model.ts'
import { clip, fitRow, widthOf, type Row, type Size } from '../../../src/cli/live/rows.ts'
import { remexError } from '../../../src/core/errors.ts'
import { idsOf, resultOf } from './results.ts'

const GOLDEN = '../../golden/live'
const AT_REST = { typed: undefined, message: undefined, helps: false }
const text = (row: Row): string => row.map((span) => span.text).join('')

/** A run on so many hosts, a third of which are done, and all of which have written. */
function sceneOf(hosts: number, shown: Partial<Pick<Controls, 'typed' | 'message' | 'helps'>> = {}): Parameters<typeof frameOf>[0] & { pane: LinesPane } {
  const ids = idsOf(hosts)
  const model = new RunModel(ids, 0)
  const pane = new LinesPane()
  for (const [index, id] of ids.slice(0, Math.ceil(hosts * 0.7)).entries()) {
    model.started(id, index * 100)
    pane.add(id, index % 9 === 4 ? 'stderr' : 'stdout', index % 9 === 4 ? '警告: 設定ファイルがありません' : `kernel 6.${index % 3}\tup`)
    if (index % 2 === 0) model.finished(index % 10 === 4 ? resultOf(id, { exitCode: 3 }) : resultOf(id), 30_000)
  }
  model.finished(resultOf('vm009', { ended: 'not_started', exitCode: null, error: remexError('CONNECT_TIMEOUT', 'x') }), 30_000)
  return { model, pane, controls: { ...AT_REST, ...shown }, nowMs: 34_500 }
}

describe('a frame', () => {
  it.each([
    ['thirty-hosts', 30, { columns: 100, rows: 24 }, {}, ''],
    ['five-hundred-hosts', 500, { columns: 120, rows: 40 }, {}, ''],
    ['five-hundred-hosts-folded', 500, { columns: 120, rows: 20 }, {}, 'fold'],
    ['scrolled', 500, { columns: 80, rows: 16 }, {}, 'scroll'],
    ['smallest', 500, { columns: 40, rows: 10 }, {}, ''],
    ['keys', 30, { columns: 80, rows: 24 }, { helps: true }, ''],
    ['typing', 30, { columns: 80, rows: 12 }, { typed: 'vm0' }, ''],
    ['said', 30, { columns: 80, rows: 12 }, { message: 'vm004: cancelled, its processes are ended' }, ''],
  ])('of %s is as it was agreed', async (name, hosts, size, shown, doing) => {
    const scene = sceneOf(hosts, shown)
    if (doing === 'fold') scene.pane.toggleFold()
    if (doing === 'scroll') scene.pane.scroll(100)
    frameOf(scene, size)
    await expect(`${frameOf(scene, size).map((row) => text(row).trimEnd()).join('\n')}\n`).toMatchFileSnapshot(`${GOLDEN}/${name}.txt`)
  })

  it('before anything has happened says so', () => {
    const scene = { model: new RunModel(idsOf(2), 0), pane: new LinesPane(), controls: AT_REST, nowMs: 0 }
    expect(frameOf(scene, { columns: 60, rows: 10 }).slice(0, 2).map(text)).toEqual(['[....................] 0/2 hosts done  0.0 hosts/s  0:00', '0 running, 2 waiting, 0 succeeded'])
  })

  it('is never wider or higher than the terminal, and has nothing that moves the cursor', () => {
    const nasty = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\t\t', '日本語'.repeat(30), '👨‍👩‍👧', '\u001b[31m', '\u009b2J', '\u202e', '𠀀'.repeat(40)))
    const size = fc.record({ columns: fc.integer({ min: 1, max: 90 }), rows: fc.integer({ min: 1, max: 30 }) })
    const shown = fc.record({ typed: fc.option(nasty, { nil: undefined }), message: fc.option(nasty, { nil: undefined }), helps: fc.boolean() })
    fc.assert(fc.property(size, fc.array(nasty, { maxLength: 60 }), shown, fc.boolean(), (terminal, lines, controls, folds) => {
      const scene = sceneOf(40, controls)
      for (const [index, line] of lines.entries()) scene.pane.add(`vm${index % 7}`, 'stdout', line)
      if (folds) scene.pane.toggleFold()
      expectFits(frameOf(scene, terminal), terminal)
    }))
  })

  it('of five hundred hosts is made in far less than the time between two', () => {
    const scene = sceneOf(500)
    const timesMs = Array.from({ length: 50 }, (_, turn) => {
      scene.pane.add('vm001', 'stdout', `new ${turn}`)
      if (turn === 25) scene.pane.toggleFold()
      const startMs = performance.now()
      frameOf(scene, { columns: 200, rows: 60 })
      return performance.now() - startMs
    })
    // Of the middle, because tests beside this one take the processor at times.
    expect(timesMs.toSorted((one, other) => one - other)[25]).toBeLessThan(20)
  })
})

function expectFits(frame: readonly Row[], { columns, rows }: Size): void {
  expect(frame.length).toBeLessThanOrEqual(rows)
  for (const row of frame) {
    expect(widthOf(text(row))).toBeLessThanOrEqual(columns)
    expect(text(row)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
  }
}

describe('a text for a row', () => {
  it.each([
    ['that fits is left as it is', 'abc', 3, 'abc'],
    ['that is too long is cut, and says so', 'abcdef', 4, 'abc…'],
    ['of wide characters is cut between them', '日本語', 4, '日…'],
    ['is empty where there is no room', 'abc', 0, ''],
  ])('%s', (_, whole, columns, cut) => {
    expect(clip(whole, columns)).toBe(cut)
  })

  it('has tabs as the blanks that they stand for', () => {
    expect(fitRow([{ text: 'a\tb\t\tc' }], 40).map((span) => span.text)).toEqual([`a${' '.repeat(7)}b${' '.repeat(15)}c`])
  })
})

it.each([
  [{ columns: 40, rows: 10 }, true],
  [{ columns: 39, rows: 50 }, false],
  [{ columns: 200, rows: 9 }, false],
  [{ columns: 0, rows: 0 }, false],
])('a terminal of %j has room for a live view: %s', (size, room) => {
  expect(hasRoom(size)).toBe(room)
})
