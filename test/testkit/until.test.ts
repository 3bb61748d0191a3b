import { describe, expect, test } from 'vitest'
import { until } from '../../testkit/until.ts'

describe('until', () => {
  test('returns the first thing that is true', async () => {
    const answers = [undefined, 0, '', false, null, 'yes', 'too late']
    expect(await until(() => answers.shift(), { what: 'an answer' })).toBe('yes')
    expect(answers).toEqual(['too late'])
  })

  test('takes a condition that throws as not met yet', async () => {
    let calls = 0
    const condition = async (): Promise<number> => {
      if (++calls < 3) throw new Error('not there')
      return calls
    }
    expect(await until(condition, { what: 'the third call' })).toBe(3)
  })

  test('names what it waited for, and what went wrong last', async () => {
    const cause = new Error('no such file')
    const waiting = until(() => { throw cause }, { what: 'the file', timeoutMs: 30 })
    await expect(waiting).rejects.toThrow('waited 0.03 s for the file')
    await expect(waiting).rejects.toMatchObject({ cause })
  })

  test('does not wait for a condition that never answers', async () => {
    const waiting = until(() => new Promise<void>(() => undefined), { what: 'Godot', timeoutMs: 60 })
    await expect(waiting).rejects.toThrow('waited 0.06 s for Godot')
  })

  test('asks at least once, even without time', async () => {
    expect(await until(() => 'there', { what: 'it', timeoutMs: 0 })).toBe('there')
  })
})
