import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import { Line } from '../../src/transport/openssh/mux/line.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import { listenOnSocket } from './mux-listener.ts'
import { dataFrame, extendedFrame, packetFrame, Puppet, type PuppetOptions } from './mux-puppet.ts'

const cleanups: (() => unknown)[] = []
const TIMING = { nowMs: () => 0, roundTripMs: () => 0 }

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function puppetThat(options: PuppetOptions = {}): Promise<Puppet> {
  const puppet = await Puppet.start(options)
  cleanups.push(() => puppet.close())
  return puppet
}

/** A line to something that says these bytes to whoever comes, and then closes if it is told to. */
async function lineTo(bytes: Buffer, { closes = false } = {}): Promise<{ line: Promise<Line>; isOpen: () => boolean }> {
  const listener = await listenOnSocket((socket) => {
    socket.write(bytes)
    if (closes) socket.end()
  })
  cleanups.push(() => listener.close())
  const socket = connect(listener.path)
  await once(socket, 'connect')
  const line = Line.open(socket, TIMING)
  line.catch(() => undefined)
  return { line, isOpen: () => !socket.destroyed }
}

const hello = sshString(Buffer.concat([uint32(1), uint32(4)]))
const ready = sshString(Buffer.concat([uint32(0x8000000f), uint32(2)]))

describe('a master', () => {
  test('that passes packets on tells its process id', async () => {
    const { line } = await (await puppetThat({ pid: 4711 })).line()
    expect([line.masterPid, line.isOpen]).toEqual([4711, true])
    line.close()
    expect(await line.closed).toBeUndefined()
  })

  test.each<[string, PuppetOptions, RegExp]>([
    ['of an older version', { version: 3 }, /version 3 of the multiplexing protocol, and 4 is needed/],
    ['of a version that there is not', { version: 0xffffffff }, /version 4294967295/],
    ['that passes no packets on', { proxy: 'refused' }, /refuses to pass packets on \(80000003\)/],
  ])('%s is refused', async (_which, options, message) => {
    const puppet = await puppetThat(options)
    await expect(puppet.line()).rejects.toThrow(message)
    expect(puppet.far().packets).toEqual([])
  })

  test.each<[string, Buffer, RegExp]>([
    ['says what no master says', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /a frame of 1213486160 bytes/],
    ['says a message that ends too early', sshString(Buffer.from([0, 0])), /ends too early/],
    ['greets without a version', sshString(uint32(1)), /ends too early/],
    ['says something that was not asked', sshString(Buffer.concat([uint32(0x80000001), uint32(1)])), /refuses to pass packets on \(80000001\)/],
    ['sends a frame of 2^32-1 bytes', Buffer.concat([uint32(0xffffffff), Buffer.alloc(1)]), /a frame of 4294967295 bytes/],
  ])('that %s is refused, and the socket is closed', async (_what, bytes, message) => {
    const { line, isOpen } = await lineTo(bytes)
    await expect(line).rejects.toThrow(message)
    expect(isOpen()).toBe(false)
  })

  test.each<[string, Buffer]>([
    ['at once', Buffer.alloc(0)],
    ['within its greeting', hello.subarray(0, 6)],
    ['after its greeting', hello],
  ])('that closes %s is refused', async (_when, bytes) => {
    const { line } = await lineTo(bytes, { closes: true })
    await expect(line).rejects.toThrow('the master closed its socket')
  })

  test('may greet in one piece with all of its answers, or byte by byte', async () => {
    const alive = sshString(Buffer.concat([uint32(0x80000005), uint32(1), uint32(99)]))
    const greeting = Buffer.concat([hello, alive, ready])
    const { line } = await lineTo(greeting)
    expect((await line).masterPid).toBe(99)
    const puppet = await listenOnSocket((socket) => {
      socket.setNoDelay(true)
      for (const byte of greeting) socket.write(Buffer.from([byte]))
    })
    cleanups.push(() => puppet.close())
    const socket = connect(puppet.path)
    await once(socket, 'connect')
    expect((await Line.open(socket, TIMING)).masterPid).toBe(99)
  })
})

describe('a line', () => {
  test('passes over packets for channels that it does not have, and of types that mean nothing to it', async () => {
    const { line, far } = await (await puppetThat()).line()
    for (let type = 0; type < 256; type++) if (type !== MESSAGE.data && type !== MESSAGE.extendedData) far.send(type, uint32(77), Buffer.alloc(40))
    far.raw(dataFrame(77, Buffer.from('for nobody')))
    far.raw(extendedFrame(77, 1, Buffer.from('for nobody')))
    far.raw(packetFrame(0))
    far.socket.end()
    expect(await line.closed).toBeUndefined()
  })

  test.each<[string, Buffer, RegExp]>([
    ['an empty frame', Buffer.concat([uint32(0), Buffer.alloc(8)]), /^ssh passes on a frame of 0 bytes$/],
    ['a frame that is too large', uint32(0x7fffffff), /^ssh passes on a frame of 2147483647 bytes$/],
    ['data that is longer than its frame', packetFrame(MESSAGE.data, uint32(1), uint32(9), Buffer.alloc(8)), /^ssh passes on a frame of 18 bytes with 9 bytes of data$/],
    ['a message that ends too early', packetFrame(MESSAGE.windowAdjust, uint32(1)), /^ssh passes on a packet that cannot be read$/],
    ['data without all of its head', packetFrame(MESSAGE.data, uint32(1)), /^ssh passes on a packet that cannot be read$/],
    ['a frame without a type', sshString(Buffer.from([0])), /^ssh passes on a packet that cannot be read$/],
  ])('ends with %s, and says so', async (_what, bytes, reason) => {
    const { line, far } = await (await puppetThat()).line()
    far.raw(Buffer.concat([bytes, Buffer.alloc(1)]))
    expect(await line.closed).toMatch(reason)
    expect(line.isOpen).toBe(false)
  })
})
