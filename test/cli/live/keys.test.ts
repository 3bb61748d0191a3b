import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Controls } from '../../../src/cli/live/controls.ts'
import { keysIn } from '../../../src/cli/live/keys.ts'
import { LinesPane } from '../../../src/cli/live/lines-pane.ts'

describe('the keys in what a terminal sends', () => {
  it.each([
    ['a character', 'f', ['f']],
    ['several at once', 'cvm01\r', ['c', 'v', 'm', '0', '1', 'return']],
    ['arrows, in both modes', '\u001b[A\u001bOB', ['up', 'down']],
    ['pages and the end', '\u001b[5~\u001b[6~\u001b[F\u001bOF\u001b[4~', ['page up', 'page down', 'newest', 'newest', 'newest']],
    ['Escape alone', '\u001b', ['escape']],
    ['Ctrl-C, Backspace', '\u0003\u007f\b', ['interrupt', 'backspace', 'backspace']],
    ['nothing of what nobody knows', '\u001b[1;5C\u001bOP\u001a\u0007\t', []],
    ['a character of two units', '\u{1f600}', ['\u{1f600}']],
  ])('are %s', (_, sent, names) => {
    expect(keysIn(sent).map((key) => (key.name === 'character' ? key.text : key.name))).toEqual(names)
  })

  it('never hold a control character', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (sent) => {
      for (const key of keysIn(sent)) if (key.name === 'character') expect(key.text).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/)
    }))
  })
})

interface Bench {
  readonly controls: Controls
  readonly pane: LinesPane
  readonly deeds: readonly string[]
  type(text: string): void
}

function bench(): Bench {
  const deeds: string[] = []
  const pane = new LinesPane()
  const cancel = (vmId: string): string => {
    deeds.push(`cancel ${vmId}`)
    return `${vmId}: cancelled`
  }
  const controls = new Controls(pane, { interrupt: () => void deeds.push('interrupt'), cancel, pageRows: () => 10 })
  const type = (text: string): void => {
    for (const key of keysIn(text)) controls.press(key)
  }
  return { controls, pane, deeds, type }
}

describe('the keys', () => {
  it.each([
    ['q', ['interrupt']],
    ['\u0003', ['interrupt']],
    ['cvm01\r', ['cancel vm01']],
    ['cvm02\u007f1\r', ['cancel vm01']],
    ['cvm01\u001b\r', []],
    ['c\r', []],
    ['cq\u001b', []],
    ['cvm\u0003', ['interrupt']],
    ['xyz\r', []],
  ])('%j do %j', (typed, expected) => {
    const { type, deeds } = bench()
    type(typed)
    expect(deeds).toEqual(expected)
  })

  it('show what is typed, and what came of it until the next key', () => {
    const { type, controls } = bench()
    type('cvm')
    expect(controls.typed).toBe('vm')
    type('1\r')
    expect([controls.typed, controls.message]).toEqual([undefined, 'vm1: cancelled'])
    type('x')
    expect(controls.message).toBeUndefined()
  })

  it('fold, scroll and explain', () => {
    const { type, controls, pane } = bench()
    for (let line = 0; line < 100; line++) pane.add('vm01', 'stdout', String(line))
    type('\u001b[A\u001b[A\u001b[5~\u001b[B')
    expect(pane.rows(1)).toMatchObject([{ text: '88' }])
    type('f')
    expect(pane.folded).toBe(true)
    type('?')
    expect(controls.helps).toBe(true)
    type('?')
    expect(controls.helps).toBe(false)
  })
})
