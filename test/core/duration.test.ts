import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatDurationMs, parseDurationMs } from '../../src/core/duration.ts'

describe('parseDurationMs', () => {
  const durations: readonly (readonly [string, string | number, number])[] = [
    ['reads milliseconds', '500ms', 500],
    ['reads seconds', '30s', 30_000],
    ['reads minutes', '5m', 300_000],
    ['reads hours', '2h', 7_200_000],
    ['reads a bare number as seconds', 30, 30_000],
    ['reads a bare number in text as seconds', '30', 30_000],
    ['reads fractions', '1.5s', 1500],
    ['reads zero', 0, 0],
    ['does not mind spaces around it', ' 30s ', 30_000],
    ['reads none as no limit', 'none', Infinity],
    ['reads the longest that a timer keeps', '2147483647ms', 2_147_483_647],
  ]
  it.each(durations)('%s', (_sentence, duration, durationMs) => {
    expect(parseDurationMs(duration)).toBe(durationMs)
  })

  const refused: readonly (readonly [string, unknown])[] = [
    ['refuses nothing', ''],
    ['refuses a unit alone', 's'],
    ['refuses a unit it does not know', '3d'],
    ['refuses a capital unit', '30S'],
    ['refuses two parts', '1m30s'],
    ['refuses a space before the unit', '30 s'],
    ['refuses a sign', '-1s'],
    ['refuses a negative number', -1],
    ['refuses an exponent in text', '1e3'],
    ['refuses another script’s digits', '٣s'],
    ['refuses Infinity, which is written none', Infinity],
    ['refuses NaN', Number.NaN],
    ['refuses None in capitals', 'NONE'],
    ['refuses a boolean that gets past the types', true],
    ['refuses null that gets past the types', null],
    ['refuses a list that gets past the types', ['30s']],
  ]
  it.each(refused)('%s', (_sentence, duration) => {
    expect(() => parseDurationMs(duration as string, '--timeout')).toThrow(expect.objectContaining({ code: 'USAGE' }))
    expect(() => parseDurationMs(duration as string, '--timeout')).toThrow(/^--timeout: .* is not a duration$/)
  })

  it('refuses what no timer can wait for, and says how to have no limit', () => {
    expect(() => parseDurationMs('25h')).not.toThrow()
    expect(() => parseDurationMs('2147483648ms')).toThrow(/24 days/)
    expect(() => parseDurationMs('600h')).toThrow(expect.objectContaining({ code: 'USAGE', hint: expect.stringContaining('none') }))
  })

  it('keeps the message short for a long text', () => {
    expect(() => parseDurationMs('x'.repeat(100_000))).toThrow(/^.{0,120}$/)
  })
})

describe('formatDurationMs', () => {
  const shown: readonly (readonly [string, number, string])[] = [
    ['shows small ones in milliseconds', 500, '500ms'],
    ['shows whole seconds', 30_000, '30s'],
    ['shows tenths of seconds', 1500, '1.5s'],
    ['shows odd ones in milliseconds', 1234, '1234ms'],
    ['shows no limit as none', Infinity, 'none'],
    ['shows zero', 0, '0ms'],
  ]
  it.each(shown)('%s', (_sentence, durationMs, text) => {
    expect(formatDurationMs(durationMs)).toBe(text)
  })

  it('gives a text that parseDurationMs reads back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2_147_483_647 }), (durationMs) => {
        expect(parseDurationMs(formatDurationMs(durationMs))).toBeCloseTo(durationMs, 6)
      }),
    )
  })
})
