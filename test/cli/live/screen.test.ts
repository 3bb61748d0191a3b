import { describe, expect, it } from 'vitest'
import { Screen } from '../../../src/cli/live/screen.ts'

function screenOf(): { screen: Screen; written: string[] } {
  const written: string[] = []
  const screen = new Screen((text) => void written.push(text))
  screen.enter()
  written.length = 0
  return { screen, written }
}

describe('a screen', () => {
  it('is written whole at first, in one write', () => {
    const { screen, written } = screenOf()
    screen.draw(['one', 'two'])
    expect(written).toEqual(['\u001b[2J\u001b[1;1Hone\u001b[K\u001b[2;1Htwo\u001b[K'])
  })

  it('has only those rows written that changed', () => {
    const { screen, written } = screenOf()
    screen.draw(['one', 'two', 'three'])
    screen.draw(['one', 'TWO', 'three'])
    expect(written[1]).toBe('\u001b[2;1HTWO\u001b[K')
  })

  it('has nothing written where nothing changed', () => {
    const { screen, written } = screenOf()
    screen.draw(['one'])
    screen.draw(['one'])
    expect(written).toHaveLength(1)
  })

  it('is written whole again after it was forgotten', () => {
    const { screen, written } = screenOf()
    screen.draw(['one'])
    screen.forget()
    screen.draw(['one'])
    expect(written[1]).toBe(written[0])
  })

  it('is given back with wrapping, a cursor and no colour', () => {
    const { screen, written } = screenOf()
    screen.leave()
    for (const sequence of ['\u001b[?1049l', '\u001b[?25h', '\u001b[?7h', '\u001b[0m']) expect(written.join('')).toContain(sequence)
  })
})
