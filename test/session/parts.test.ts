import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { Capture } from '../../src/session/capture.ts'
import { drain } from '../../src/session/drain.ts'
import { Governor } from '../../src/session/governor.ts'
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
})
