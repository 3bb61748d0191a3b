import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import { FIRST_WINDOW_BYTES } from '../../src/transport/openssh/mux/window.ts'
import { dataFrame, type PuppetLine } from './mux-puppet.ts'
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
const exitSignal = (name: string): Buffer[] => [ours, sshString('exit-signal'), Buffer.from([0]), sshString(name), Buffer.from([0]), sshString(''), sshString('')]

describe('opening a channel', () => {
  test('tells our number, our window and the largest packet that we take', async () => {
    await stage.opened()
    const open = await far.came(MESSAGE.open)
    expect([open.text(), open.uint32(), open.uint32(), open.uint32()]).toEqual(['session', OURS, FIRST_WINDOW_BYTES, 32 * KIB])
  })

  test('that is refused is over: its streams end, and its number may be forgotten', async () => {
    const { channel, opening } = stage.opening(OURS)
    far.send(MESSAGE.openFailure, ours, uint32(1), sshString('not today'), sshString(''))
    expect(await opening).toMatchObject({ kind: 'refused', reason: 1, text: 'not today' })
    await channel.closed
    expect(await text(channel.stdout)).toBe('')
    expect(await channel.exit).toEqual({ kind: 'lost' })
    channel.close()
    expect(await channel.mux.ask('exec', sshString('true'))).toBe('unsent')
    expect(await stage.ended()).toEqual([MESSAGE.open])
  })

  test('that is answered by a close in place of a confirmation is refused', async () => {
    const { channel, opening } = stage.opening(OURS)
    far.send(MESSAGE.close, ours)
    expect(await opening).toMatchObject({ kind: 'refused', reason: 0 })
    await channel.closed
  })

  test('that is confirmed twice ends the connection', async () => {
    const channel = await stage.opened()
    far.send(MESSAGE.openConfirmation, ours, uint32(9), uint32(MIB), uint32(KIB))
    expect(await stage.line.closed).toBe('the server confirms a channel twice')
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })

  test('that is refused after it was confirmed is over, once', async () => {
    const channel = await stage.opened()
    far.send(MESSAGE.openFailure, ours, uint32(1), sshString('after all'), sshString(''))
    await channel.closed
    expect(stage.line.isOpen).toBe(true)
  })
})

describe('the end of a channel', () => {
  test('begins with a close of the server: we close too, once, after all that came', async () => {
    const channel = await stage.opened()
    far.raw(dataFrame(OURS, Buffer.from('last words')))
    far.send(MESSAGE.request, ...exitStatus(7))
    far.send(MESSAGE.close, ours)
    await channel.closed
    expect(await text(channel.stdout)).toBe('last words')
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 7 })
    channel.close()
    channel.stdin.end('too late')
    expect((await far.came(MESSAGE.close)).uint32()).toBe(REMOTE)
    expect(await stage.ended()).toEqual([MESSAGE.open, MESSAGE.close])
  })

  test('begins with ours: what still comes is taken, and it is over when the server closes', async () => {
    const channel = await stage.opened()
    let isClosed = false
    void channel.closed.then(() => { isClosed = true })
    channel.close()
    channel.close()
    await far.came(MESSAGE.close)
    far.raw(dataFrame(OURS, Buffer.from('under way')))
    far.send(MESSAGE.request, ...exitStatus(0))
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 0 })
    expect(isClosed).toBe(false)
    far.send(MESSAGE.close, ours)
    await channel.closed
    expect(await text(channel.stdout)).toBe('under way')
    expect(far.all(MESSAGE.close)).toHaveLength(1)
  })

  test('of input is told once; input that broke off is not told as ended', async () => {
    const channel = await stage.opened()
    channel.stdin.end()
    await far.came(MESSAGE.eof)
    channel.mux.finish()
    await stage.roundTrip(channel)
    expect(far.all(MESSAGE.eof)).toHaveLength(1)
    channel.close()
    far.send(MESSAGE.close, ours)
    await channel.closed
    const other = await stage.opened({ number: OURS + 1, remoteId: REMOTE + 1 })
    other.stdin.write('half')
    other.stdin.destroy(new Error('the source failed'))
    expect((await stage.ended()).filter((type) => type === MESSAGE.eof)).toHaveLength(1)
  })

  test('without a word of the process is a loss', async () => {
    const channel = await stage.opened()
    far.send(MESSAGE.eof, ours)
    far.send(MESSAGE.close, ours)
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })

  test('is told once: what comes first counts', async () => {
    const channel = await stage.opened()
    far.send(MESSAGE.request, ...exitStatus(3))
    far.send(MESSAGE.request, ...exitSignal('KILL'))
    far.send(MESSAGE.request, ...exitStatus(4))
    far.send(MESSAGE.close, ours)
    await channel.closed
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 3 })
  })

  test('by a signal that a server made up is printable, and short', async () => {
    const channel = await stage.opened()
    far.send(MESSAGE.request, ...exitSignal(`TERM\u001b[2J\nforged\u202e${'x'.repeat(1000)}`))
    const exit = await channel.exit
    expect(exit).toMatchObject({ kind: 'signaled', signal: expect.stringMatching(/^TERM\\x1b\[2J\\nforged\\u202ex+$/) })
    expect(exit.kind === 'signaled' && exit.signal.length).toBeLessThan(100)
  })

  test('with a status that ends too early ends the connection', async () => {
    const channel = await stage.opened()
    far.send(MESSAGE.request, ours, sshString('exit-status'), Buffer.from([0]), Buffer.from([0, 0]))
    expect(await stage.line.closed).toBe('ssh passes on a packet that cannot be read')
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })
})

describe('a request of the server', () => {
  const request = (name: string, wantsReply: boolean): void => far.send(MESSAGE.request, ours, sshString(name), Buffer.from([wantsReply ? 1 : 0]))

  test('that wants a reply is answered: we do nothing that a server asks for', async () => {
    const channel = await stage.opened()
    request('keepalive@openssh.com', true)
    request('eow@openssh.com', false)
    request('x11-req', true)
    await far.came(MESSAGE.failure, 1)
    await stage.roundTrip(channel)
    expect(far.all(MESSAGE.failure).map(({ body }) => body.readUInt32BE(0))).toEqual([REMOTE, REMOTE])
    expect(far.all(MESSAGE.success)).toEqual([])
  })

  test('is not answered where we have closed', async () => {
    const channel = await stage.opened()
    channel.close()
    request('keepalive@openssh.com', true)
    far.send(MESSAGE.close, ours)
    await channel.closed
    expect(await stage.ended()).toEqual([MESSAGE.open, MESSAGE.close])
  })
})

describe('a request of ours', () => {
  test('gets the answers in the order of the questions; one that nobody waits for is passed over', async () => {
    const channel = await stage.opened()
    far.send(MESSAGE.success, ours)
    far.send(MESSAGE.request, ours, sshString('keepalive@openssh.com'), Buffer.from([1]))
    await far.came(MESSAGE.failure)
    const answers = Promise.all([channel.mux.ask('one', Buffer.alloc(0)), channel.mux.ask('two', Buffer.alloc(0)), channel.mux.ask('three', Buffer.alloc(0))])
    await far.came(MESSAGE.request, 2)
    far.send(MESSAGE.failure, ours)
    far.send(MESSAGE.success, ours)
    far.send(MESSAGE.close, ours)
    expect(await answers).toEqual(['failure', 'success', 'gone'])
  })

  test('for a signal has its name, and is not made for a name that SSH does not have', async () => {
    const channel = await stage.opened()
    channel.signal('TERM')
    const request = await far.came(MESSAGE.request)
    expect([request.uint32(), request.text(), request.byte(), request.text()]).toEqual([REMOTE, 'signal', 0, 'TERM'])
    expect(() => channel.signal('SIG\u001b')).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('\\x1b') }))
    channel.close()
    channel.signal('KILL')
    far.send(MESSAGE.close, ours)
    await channel.closed
    expect(await stage.ended()).toEqual([MESSAGE.open, MESSAGE.request, MESSAGE.close])
  })
})
