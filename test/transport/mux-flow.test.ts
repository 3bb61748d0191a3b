import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import type { ExecChannel } from '../../src/transport/openssh/mux/exec-channel.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import { FIRST_WINDOW_BYTES } from '../../src/transport/openssh/mux/window.ts'
import { until } from '../../testkit/until.ts'
import { dataFrame, extendedFrame, type PuppetLine } from './mux-puppet.ts'
import { Stage } from './mux-stage.ts'

const KIB = 1024
const MIB = 1024 * KIB
/** By what the puppet knows the channel, and by what we do. */
const [REMOTE, OURS] = [77, 3]

let stage: Stage
let far: PuppetLine

beforeEach(async () => {
  stage = await Stage.start();
  ({ far } = stage)
})

afterEach(() => stage[Symbol.asyncDispose]())

const ours = uint32(OURS)
const exitStatus = (code: number): Buffer[] => [ours, sshString('exit-status'), Buffer.from([0]), uint32(code)]

describe('data from the server', () => {
  test('comes on its stream; of a type that there is not, it counts and is discarded', async () => {
    const channel = await stage.opened()
    far.raw(Buffer.concat([dataFrame(OURS, Buffer.from('out')), extendedFrame(OURS, 1, Buffer.from('err')), extendedFrame(OURS, 2, Buffer.alloc(300 * KIB))]))
    far.send(MESSAGE.eof, ours)
    expect([await text(channel.stdout), await text(channel.stderr)]).toEqual(['out', 'err'])
    const adjust = await far.came(MESSAGE.windowAdjust)
    expect(adjust.uint32()).toBe(REMOTE)
    // As much of it as had come by then.
    expect(adjust.uint32()).toBeGreaterThanOrEqual(256 * KIB)
  })

  test.each<[string, (bytes: number) => Buffer]>([
    ['standard output', (bytes) => dataFrame(OURS, Buffer.alloc(bytes))],
    ['standard error', (bytes) => extendedFrame(OURS, 1, Buffer.alloc(bytes))],
    ['what is discarded', (bytes) => extendedFrame(OURS, 9, Buffer.alloc(bytes))],
  ])('beyond the window ends the connection, and it says so: %s', async (_which, frame) => {
    const channel = await stage.opened()
    // Held, so that nothing is given back.
    far.raw(dataFrame(OURS, Buffer.alloc(300 * KIB)))
    far.raw(Buffer.concat([frame(400 * KIB), frame(324 * KIB)]))
    await until(() => channel.stdout.readableLength > 0, { what: 'what is within the window' })
    expect(stage.line.isOpen).toBe(true)
    far.raw(frame(1))
    expect(await stage.line.closed).toBe('the server sends more than the channel window allows')
    expect(channel.stdout.readableLength).toBeLessThanOrEqual(FIRST_WINDOW_BYTES)
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })

  test('that nobody reads holds the window for both streams, and reading opens it', async () => {
    const channel = await stage.opened()
    far.raw(extendedFrame(OURS, 1, Buffer.alloc(300 * KIB)))
    far.raw(dataFrame(OURS, Buffer.from('x')))
    const [first] = await channel.stdout.take(1).toArray() as Buffer[]
    expect(String(first)).toBe('x')
    await stage.roundTrip(channel)
    expect(far.all(MESSAGE.windowAdjust)).toEqual([])
    channel.stderr.resume()
    const adjust = await far.came(MESSAGE.windowAdjust)
    expect([adjust.uint32(), adjust.uint32()]).toEqual([REMOTE, 300 * KIB + 1])
  })

  test('that comes after its end is discarded, and counts', async () => {
    const channel = await stage.opened()
    far.raw(dataFrame(OURS, Buffer.from('before')))
    far.send(MESSAGE.eof, ours)
    far.raw(dataFrame(OURS, Buffer.alloc(300 * KIB)))
    far.send(MESSAGE.eof, ours)
    expect(await text(channel.stdout)).toBe('before')
    await far.came(MESSAGE.windowAdjust)
    far.send(MESSAGE.request, ...exitStatus(0))
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 0 })
  })

  test('that comes after both have closed is for nobody', async () => {
    const channel = await stage.opened()
    channel.close()
    far.send(MESSAGE.close, ours)
    await channel.closed
    far.raw(dataFrame(OURS, Buffer.alloc(500 * KIB)))
    far.raw(dataFrame(OURS, Buffer.alloc(500 * KIB)))
    far.raw(dataFrame(OURS, Buffer.alloc(500 * KIB)))
    far.socket.end()
    expect(await stage.line.closed).toBeUndefined()
  })
})

describe('data to the server', () => {
  test('waits for a window, is cut to the window and to the largest packet, and arrives in order', async () => {
    const channel = await stage.opened({ window: 0, maxPacket: 10 })
    const isWritten = new Promise<void>((resolve) => channel.stdin.write('0123456789abcdefghij', () => resolve()))
    await stage.roundTrip(channel)
    expect(stage.input().sizes).toEqual([])
    far.send(MESSAGE.windowAdjust, ours, uint32(4))
    await until(() => stage.input().sizes.length === 1, { what: 'the first four bytes' })
    far.send(MESSAGE.windowAdjust, ours, uint32(0xffffffff))
    far.send(MESSAGE.windowAdjust, ours, uint32(0xffffffff))
    await isWritten
    await until(() => stage.input().data.length === 20, { what: 'the rest' })
    expect(stage.input()).toEqual({ data: Buffer.from('0123456789abcdefghij'), sizes: [4, 10, 6] })
  })

  test('goes before the end of input, however long it waits for a window', async () => {
    const channel = await stage.opened({ window: 0 })
    channel.stdin.write('late')
    channel.stdin.end(' but whole')
    await stage.roundTrip(channel)
    expect(far.all(MESSAGE.eof)).toEqual([])
    far.send(MESSAGE.windowAdjust, ours, uint32(100))
    expect((await far.came(MESSAGE.eof)).uint32()).toBe(REMOTE)
    expect(String(stage.input().data)).toBe('late but whole')
    expect(far.packets.at(-1)?.type).toBe(MESSAGE.eof)
  })

  test('of any size comes through windows of any size', async () => {
    const channel = await stage.opened({ window: 1000, maxPacket: 700 })
    const data = randomBytes(300_000)
    const sent = pipeline(Readable.from([data.subarray(0, 1), data.subarray(1, 200_000), data.subarray(200_000)]), channel.stdin)
    for (let given = 1000; given < data.length;) {
      await until(() => stage.input().data.length === given, { what: `${given} bytes` })
      const more = Math.min(60_000, data.length - given)
      far.send(MESSAGE.windowAdjust, ours, uint32(more))
      given += more
    }
    await sent
    await far.came(MESSAGE.eof)
    expect(stage.input().data.equals(data)).toBe(true)
    expect(Math.max(...stage.input().sizes)).toBeLessThanOrEqual(700)
  })

  test.each<[string, (channel: ExecChannel) => unknown]>([
    ['the server closes the channel', () => far.send(MESSAGE.close, ours)],
    ['we close it', (channel) => channel.close()],
    ['the connection ends', () => far.socket.destroy()],
  ])('that waits for a window is discarded in silence when %s', async (_what, end) => {
    const channel = await stage.opened({ window: 0 })
    const sent = pipeline(Readable.from(['one', 'two', 'three']), channel.stdin)
    end(channel)
    await sent
    expect(stage.input().sizes).toEqual([])
  })

  test('that waits for room in the socket is discarded in silence when the connection ends', async () => {
    const channel = await stage.opened({ window: 0x7fffffff, maxPacket: 256 * KIB })
    far.socket.pause()
    const sent = pipeline(Readable.from(Array.from({ length: 64 }, () => Buffer.alloc(MIB))), channel.stdin)
    await until(() => channel.stdin.writableNeedDrain, { what: 'the writer to be held back' })
    stage.line.close()
    await sent
    await channel.closed
  })
})
