import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { Turnstile } from '../../src/core/turnstile.ts'
import { paced } from '../../src/transport/ssh2/paced.ts'
import { until } from '../../testkit/until.ts'

const busy = (ms: number): void => {
  for (const endMs = performance.now() + ms; performance.now() < endMs;);
}

describe('the turnstile', () => {
  it('lets others have their turn between the steps of many', async () => {
    const turnstile = new Turnstile()
    const order: string[] = []
    for (let step = 0; step < 20; step++) {
      turnstile.pass(() => {
        busy(5)
        order.push('step')
      })
    }
    setTimeout(() => order.push('timer'), 1)
    await until(() => order.length === 21, { what: 'all of them' })
    expect(order.indexOf('timer')).toBeLessThan(6)
  })

  it('goes on where a step adds another', async () => {
    const turnstile = new Turnstile()
    let count = 0
    const step = (): void => {
      if (++count < 100) turnstile.pass(step)
    }
    turnstile.pass(step)
    await until(() => count === 100, { what: 'the last of them' })
  })
})

describe('a stream that is paced', () => {
  it('gives its listener everything, in order, and its end after that, wherever the pacing is ended', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 60 }), fc.nat(60), async (chunks, endAt) => {
      const stream = new PassThrough()
      const unpace = paced(stream, new Turnstile())
      const heard: Buffer[] = []
      stream.on('data', (chunk: Buffer) => {
        heard.push(chunk)
        if (heard.length === endAt) unpace()
      })
      const ended = once(stream, 'end')
      for (const chunk of chunks) stream.write(chunk)
      stream.end()
      await ended
      expect(Buffer.concat(heard)).toEqual(Buffer.concat(chunks))
    }), { numRuns: 50 })
  })

  it('is as it was before when the pacing is over', async () => {
    const stream = new PassThrough()
    const unpace = paced(stream, new Turnstile())
    const listener = (): void => undefined
    stream.on('data', listener)
    await Promise.resolve()
    const before = stream.listenerCount('end')
    unpace()
    expect(stream.listeners('data')).toEqual([listener])
    expect(stream.listenerCount('end')).toBeLessThan(before)
    expect(stream.listenerCount('newListener')).toBe(0)
  })
})
