import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { Capture } from '../../src/session/capture.ts'
import { drain } from '../../src/session/drain.ts'
import { remexError, type RemexError } from '../../src/core/errors.ts'
import { Governor } from '../../src/session/governor.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'
import { StartedMark } from '../../src/session/started-mark.ts'

describe('a capture', () => {
  it('keeps the first bytes and counts all of them, however they are cut', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), fc.nat(200), (chunks, maxBytes) => {
      const capture = new Capture(maxBytes)
      for (const chunk of chunks) capture.add(Buffer.from(chunk))
      const all = Buffer.concat(chunks)
      expect(capture.bytes().equals(all.subarray(0, maxBytes))).toBe(true)
      expect(capture.totalBytes).toBe(all.length)
      expect(capture.truncated).toBe(all.length > maxBytes)
    }))
  })
})

describe('the mark that a command under sudo has started', () => {
  const pass = (mark: string, chunks: readonly Buffer[]): { text: string; seen: boolean; said: string } => {
    const started = new StartedMark(mark)
    const out: Buffer[] = []
    for (const chunk of chunks) void started.pass(chunk, (part) => void out.push(part))
    const said = started.seen ? '' : started.firstLine()
    void started.rest((part) => void out.push(part))
    return { text: Buffer.concat(out).toString(), seen: started.seen, said }
  }

  it('is found and taken out wherever the stream is cut', () => {
    fc.assert(fc.property(fc.nat(60), fc.nat(60), (one, two) => {
      const stream = Buffer.from('sudo: a warning\nremex-started:r1\nown output\n')
      const [first, second] = [one, two].sort((a, b) => a - b)
      const parts = [stream.subarray(0, first), stream.subarray(first, second), stream.subarray(second)]
      expect(pass('remex-started:r1\n', parts)).toMatchObject({ text: 'sudo: a warning\nown output\n', seen: true })
    }))
  })

  it('that never comes gives what sudo said instead', () => {
    expect(pass('remex-started:r1\n', [Buffer.from('\nsudo: a password is required\x1b[2J\n')])).toMatchObject({ seen: false, said: String.raw`sudo: a password is required\x1b[2J` })
  })

  it('is not waited for where there is none', () => {
    expect(pass('', [Buffer.from('a')])).toMatchObject({ text: 'a', seen: true })
  })

  it('holds back a bounded part of a stream that never has it', () => {
    const started = new StartedMark('remex-started:r1\n')
    for (let count = 0; count < 100; count++) void started.pass(Buffer.alloc(10_000, 'x'), () => undefined)
    const rest: Buffer[] = []
    void started.rest((part) => void rest.push(part))
    expect(Buffer.concat(rest).length).toBeLessThanOrEqual(64 * 1024)
  })
})

describe('draining a stream', () => {
  it('gives a consumer that takes its time one chunk at a time', async () => {
    const stream = new PassThrough()
    let inside = 0
    let most = 0
    const done = drain(stream, async () => {
      most = Math.max(most, ++inside)
      await new Promise((resolve) => setImmediate(resolve))
      inside--
    })
    for (let count = 0; count < 20; count++) stream.write(`chunk ${count}`)
    stream.end()
    await done
    expect([most, inside]).toEqual([1, 0])
  })

  it('fails with what its consumer throws', async () => {
    const stream = new PassThrough()
    const done = drain(stream, () => {
      throw new Error('full')
    })
    stream.write('x')
    await expect(done).rejects.toThrow('full')
  })

  it('ends with a stream that is destroyed', async () => {
    const stream = new PassThrough()
    const done = drain(stream, () => undefined)
    stream.destroy()
    await expect(done).resolves.toBeUndefined()
  })
})

describe('the governor', () => {
  it('lets eight handshakes at a time to one server, and all of them in the end', async () => {
    const governor = new Governor()
    let running = 0
    let most = 0
    const handshake = async (): Promise<void> => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
    }
    await Promise.all(Array.from({ length: 100 }, () => governor.handshake('a:22', handshake)))
    expect([most, running]).toEqual([8, 0])
  })

  it('gives the place of a handshake that failed, or was cancelled while waiting, to the next', async () => {
    const governor = new Governor()
    const cancel = new AbortController()
    const blocked = new Promise<void>((resolve) => setImmediate(resolve))
    const running = Array.from({ length: 8 }, () => governor.handshake('a:22', () => blocked.then(() => Promise.reject(new Error('no')))))
    const waiting = governor.handshake('a:22', () => Promise.resolve('late'), cancel.signal)
    const next = governor.handshake('a:22', () => Promise.resolve('next'))
    cancel.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' })
    await Promise.allSettled(running)
    await expect(next).resolves.toBe('next')
  })

  /** A server that turns away whoever comes while `room` are at it. */
  function server(clock: FakeClock, room: () => number): { handshake: () => Promise<string>; most: number } {
    let busy = 0
    const seen = {
      most: 0,
      async handshake(): Promise<string> {
        if (busy >= room()) throw remexError('THROTTLED', 'closed before the banner')
        seen.most = Math.max(seen.most, ++busy)
        await clock.sleep(20)
        busy--
        return 'in'
      },
    }
    return seen
  }

  async function inTime<T>(clock: FakeClock, work: Promise<T>, mostMs: number): Promise<{ result: T; tookMs: number }> {
    const startMs = clock.monotonicMs()
    const over = new AbortController()
    const ended = work.then((result) => ({ result, tookMs: clock.monotonicMs() - startMs })).finally(() => over.abort())
    while (!over.signal.aborted && clock.monotonicMs() - startMs < mostMs) await clock.advance(10)
    return ended
  }

  it('goes slower with a server that turns some away, and loses none of them', async () => {
    const clock = new FakeClock()
    const governor = new Governor(clock)
    const { handshake } = server(clock, () => 3)
    const all = Array.from({ length: 500 }, () => governor.handshake('a:22', handshake))
    const { result, tookMs } = await inTime(clock, Promise.all(all), 120_000)
    expect(new Set(result)).toEqual(new Set(['in']))
    // At three at a time the server itself would take 3.3 s.
    expect(tookMs).toBeLessThan(30_000)
  })

  it('tries one of several for a minute at most where a server takes nobody', async () => {
    const clock = new FakeClock()
    const governor = new Governor(clock)
    const all = Array.from({ length: 4 }, () => governor.handshake('a:22', server(clock, () => 0).handshake).catch((error: unknown) => error))
    const { result, tookMs } = await inTime(clock, Promise.all(all), 300_000)
    expect(result.map((error) => (error as RemexError).code)).toEqual(Array.from({ length: 4 }, () => 'THROTTLED'))
    expect(tookMs).toBeGreaterThanOrEqual(60_000)
    expect(tookMs).toBeLessThan(120_000)
  })

  it('leaves it to the caller where one alone is turned away', async () => {
    const clock = new FakeClock()
    await expect(new Governor(clock).handshake('a:22', server(clock, () => 0).handshake)).rejects.toMatchObject({ code: 'THROTTLED' })
    expect(clock.monotonicMs()).toBe(0)
  })

  it('does not hold up one server for another that turns its clients away', async () => {
    const clock = new FakeClock()
    const governor = new Governor(clock)
    const refused = Array.from({ length: 8 }, () => governor.handshake('a:22', server(clock, () => 0).handshake).catch(() => 'refused'))
    const { tookMs } = await inTime(clock, governor.handshake('b:22', server(clock, () => 1).handshake), 10_000)
    expect(tookMs).toBeLessThan(100)
    await inTime(clock, Promise.all(refused), 300_000)
  })

  it('lets 32 at a time through one jump host, whatever lies behind it', async () => {
    const clock = new FakeClock()
    const governor = new Governor(clock)
    const behind = server(clock, () => Infinity)
    await inTime(clock, Promise.all(Array.from({ length: 100 }, () => governor.through('vm04', behind.handshake))), 10_000)
    expect(behind.most).toBe(32)
  })
})
