import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteQueue } from '../../../src/transfer/batch/byte-queue.ts'

const bytes = fc.uint8Array({ maxLength: 5000 }).map((array) => Buffer.from(array))
/** Takes, lines and skips of any size. */
const step = fc.record({ kind: fc.constantFrom('take', 'text', 'skip', 'line'), count: fc.nat(6000) })

describe('ByteQueue', () => {
  it('gives what was pushed, in order, however it was cut and however it is taken', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 10 }), fc.array(step, { maxLength: 30 }), (chunks, steps) => {
        const queue = new ByteQueue()
        for (const chunk of chunks) queue.push(Buffer.from(chunk))
        let left = Buffer.concat(chunks)
        for (const { kind, count } of steps) {
          const end = left.indexOf(0x0a)
          if (kind === 'skip') {
            expect(queue.skip(count)).toBe(Math.min(count, left.length))
            left = left.subarray(count)
          } else if (kind === 'line') {
            expect(queue.takeLine()).toBe(end === -1 ? undefined : left.toString('latin1', 0, end))
            left = left.subarray(end + 1)
          } else {
            const taken = kind === 'take' ? queue.take(count) : queue.takeText(count)
            const wanted = count > left.length ? undefined : left.subarray(0, count)
            expect(taken).toEqual(kind === 'take' ? wanted : wanted?.toString('latin1'))
            if (count <= left.length) left = left.subarray(count)
          }
          expect(queue.sizeBytes).toBe(left.length)
        }
      }),
    )
  })

  it('does not keep a buffer for each byte of a host that sends byte by byte', () => {
    const queue = new ByteQueue()
    const before = process.memoryUsage.rss()
    for (let count = 0; count < 500_000; count += 1) queue.push(Buffer.from([count & 0xff]))
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024)
    expect(queue.take(500_000)?.at(-1)).toBe(499_999 & 0xff)
  })
})
