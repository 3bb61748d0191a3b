import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { watchLife } from '../../src/transport/ssh2/keepalive.ts'
import { timerMs } from '../../src/transport/timer.ts'

describe('a watched stream', () => {
  beforeEach(() => { vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }) })
  afterEach(() => { vi.useRealTimers() })

  test('is dead after three intervals without a byte, and not before', () => {
    const onDead = vi.fn()
    watchLife(new PassThrough(), 1000, onDead)
    vi.advanceTimersByTime(3000)
    expect(onDead).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1000)
    expect(onDead).toHaveBeenCalled()
  })

  test('lives as long as anything comes in, as on a slow link where answers wait behind data', () => {
    const onDead = vi.fn()
    const stream = new PassThrough()
    watchLife(stream, 1000, onDead)
    for (let second = 0; second < 20; second++) {
      stream.emit('data', Buffer.from('x'))
      vi.advanceTimersByTime(1900)
    }
    expect(onDead).not.toHaveBeenCalled()
  })

  test('is not watched any more when it is closed, nor with an interval of Infinity', () => {
    const onDead = vi.fn()
    const stream = new PassThrough()
    watchLife(stream, 1000, onDead)
    stream.emit('close')
    watchLife(new PassThrough(), Infinity, onDead)
    expect(vi.getTimerCount()).toBe(0)
  })
})

const TIMES = [[1000, 1000], [0.2, 1], [-5, 1], [Infinity, 0], [Number.NaN, 0], [1e12, 2 ** 31 - 1]] as const

test.each(TIMES)('a time of %d ms is waited as %d', (given, waited) => {
  expect(timerMs(given)).toBe(waited)
})
