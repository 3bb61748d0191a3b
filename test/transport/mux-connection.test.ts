import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import type { Channel } from '../../src/transport/contract.ts'
import type { MuxConnection } from '../../src/transport/openssh/connection.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { connectedTo, type Connected } from './mux-connected.ts'
import { dataFrame, Puppet, type PuppetLine } from './mux-puppet.ts'

let puppet: Puppet
let connected: Connected
let connection: MuxConnection
let far: PuppetLine

beforeEach(async () => {
  puppet = await Puppet.start()
  connected = await connectedTo(puppet);
  ({ connection } = connected)
  far = puppet.far()
})

afterEach(async () => {
  connection.close()
  await puppet.close()
})

/** A command that runs. */
async function running(index = 0): Promise<Channel> {
  const starting = connection.exec('run')
  const number = await far.confirm({ index })
  await far.came(MESSAGE.request, index)
  far.send(MESSAGE.success, uint32(number))
  return starting
}

type Doing = (line: PuppetLine, number: number) => void
const closesChannel: Doing = (line, number) => line.send(MESSAGE.close, uint32(number))
const endsConnection: Doing = (line) => void line.socket.destroy()
const refuses: Doing = (line, number) => line.send(MESSAGE.failure, uint32(number))
const grants: Doing = (line, number) => line.send(MESSAGE.success, uint32(number))

/** `[when, with a terminal, what is answered to the requests in turn, how it ends]` */
const ENDS: readonly (readonly [string, boolean, readonly Doing[], object])[] = [
  ['the command is refused', false, [refuses], { code: 'CHANNEL_REFUSED', mayHaveRun: false, message: expect.stringContaining('the server refused the command') }],
  ['the channel is closed in place of an answer', false, [closesChannel], { code: 'CONNECTION_LOST', mayHaveRun: true, message: expect.stringContaining('without an answer') }],
  ['the connection ends in place of an answer', false, [endsConnection], { code: 'CONNECTION_LOST', mayHaveRun: true }],
  ['no terminal is given', true, [refuses], { code: 'CHANNEL_REFUSED', mayHaveRun: false, message: expect.stringContaining('it gives no terminal') }],
  ['the channel is closed in place of a terminal', true, [closesChannel], { code: 'CHANNEL_REFUSED', mayHaveRun: false, message: expect.stringContaining('it closed the channel') }],
  ['the connection ends in place of a terminal', true, [endsConnection], { code: 'CONNECTION_LOST', mayHaveRun: false }],
  ['the command is refused on a terminal', true, [grants, refuses], { code: 'CHANNEL_REFUSED', mayHaveRun: false }],
  ['the channel is closed in place of an answer on a terminal', true, [grants, closesChannel], { code: 'CONNECTION_LOST', mayHaveRun: true }],
  ['the connection ends in place of an answer on a terminal', true, [grants, endsConnection], { code: 'CONNECTION_LOST', mayHaveRun: true }],
]

describe('whether a command may have run is told when', () => {
  test.each(ENDS)('%s', async (_when, hasTerminal, answers, expected) => {
    const failing = failureOf(connection.exec('run', hasTerminal ? { pty: {} } : {}))
    const number = await far.confirm()
    for (const [index, answer] of answers.entries()) {
      await far.came(MESSAGE.request, index)
      answer(far, number)
    }
    expect(await failing).toMatchObject({ vmId: 'vm01', ...expected })
  })

  test.each<[string, Doing, object]>([
    ['no channel is opened', (line, number) => line.send(MESSAGE.openFailure, uint32(number), uint32(1), sshString('no \u001b[2Jmore'), sshString('')),
      { code: 'CHANNEL_REFUSED', message: expect.stringContaining('opened no channel for the command (no \\x1b[2Jmore)') }],
    ['no channel is opened, without a reason', (line, number) => line.send(MESSAGE.openFailure, uint32(number), uint32(1), sshString(' '), sshString('')),
      { code: 'CHANNEL_REFUSED', message: expect.stringContaining('(without a reason)') }],
    ['the channel is closed in place of an answer to the wish for it', closesChannel, { code: 'CHANNEL_REFUSED' }],
    ['the connection ends before there is a channel', endsConnection, { code: 'CONNECTION_LOST' }],
    ['the connection ends with the channel that it opened', (line, number) => {
      line.send(MESSAGE.openConfirmation, uint32(number), uint32(1), uint32(1), uint32(1))
      line.socket.end()
    }, { code: 'CONNECTION_LOST' }],
    ['the channel is confirmed twice at once', (line, number) => {
      const body = [uint32(number), uint32(1), uint32(1), uint32(1)]
      line.socket.cork()
      line.send(MESSAGE.openConfirmation, ...body)
      line.send(MESSAGE.openConfirmation, ...body)
      line.socket.uncork()
    }, { code: 'CONNECTION_LOST' }],
    ['the channel is opened and closed at once', (line, number) => {
      line.socket.cork()
      line.send(MESSAGE.openConfirmation, uint32(number), uint32(1), uint32(1), uint32(1))
      line.send(MESSAGE.close, uint32(number))
      line.socket.uncork()
    }, { code: 'CHANNEL_REFUSED' }],
  ])('%s: it has not', async (_when, answer, expected) => {
    const failing = failureOf(connection.exec('run'))
    const open = await far.came(MESSAGE.open)
    open.string()
    answer(far, open.uint32())
    const error = await failing
    expect(error).toMatchObject({ vmId: 'vm01', ...expected })
    // A request that went out into a connection which had just ended cannot be told from one that arrived.
    expect(error.mayHaveRun).toBe(far.all(MESSAGE.request).length > 0)
  })

  test('we close the connection: only if it was sent', async () => {
    const unsent = failureOf(connection.exec('never'))
    await far.came(MESSAGE.open)
    const sent = failureOf(connection.exec('perhaps'))
    await far.confirm({ index: 1 })
    await far.came(MESSAGE.request)
    connection.close()
    expect(await unsent).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: false, message: expect.stringContaining('closed by us') })
    expect(await sent).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    expect(await connection.closed).toBeNull()
  })

  test('the connection was closed before: it has not', async () => {
    connection.close()
    expect(await failureOf(connection.exec('never'))).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: false })
  })
})

describe('a connection', () => {
  test('is lost when its server sends more than the window allows, with all its channels, and says so', async () => {
    const [flooded, other] = [await running(), await running(1)]
    // However long the way seems to be.
    for (let sent = 0; sent < 33; sent++) far.raw(dataFrame(1, Buffer.alloc(256 * 1024)))
    const cause = await connection.closed
    expect(cause).toMatchObject({ code: 'CONNECTION_LOST', vmId: 'vm01', message: expect.stringContaining('the server sends more than the channel window allows') })
    expect(connection.isClosed).toBe(true)
    expect([await flooded.exit, await other.exit]).toEqual([{ kind: 'lost' }, { kind: 'lost' }])
    expect(connected.ends()).toBe(1)
  })

  test('is lost when what ssh passes on cannot be read, and says so', async () => {
    const channel = await running()
    far.raw(uint32(0))
    far.raw(uint32(0))
    expect(await connection.closed).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining('ssh passes on a frame of 0 bytes') })
    await channel.closed
  })

  test('is lost when its master goes', async () => {
    const channel = await running()
    far.raw(dataFrame(1, Buffer.from('so far')))
    far.socket.end()
    expect(await connection.closed).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining('the ssh that held it ended') })
    expect([await text(channel.stdout), await channel.exit]).toEqual(['so far', { kind: 'lost' }])
  })

  test('sends nothing of a command that no packet can carry', async () => {
    expect(await failureOf(connection.exec('x'.repeat(300_000)))).toMatchObject({ code: 'USAGE' })
    expect(far.packets).toEqual([])
  })

  test('that had 4096 channels refused takes no more, before ssh ends itself over them; those that are open go on', async () => {
    const channel = await running()
    const refused = async (): Promise<void> => {
      const error = await failureOf(connection.exec('again'))
      expect(error.code).toBe('CHANNEL_REFUSED')
    }
    const refuseAll = (index: number): void => {
      const open = far.all(MESSAGE.open)[index]
      if (open) far.send(MESSAGE.openFailure, open.body.subarray(11, 15), uint32(1), sshString('no'), sshString(''))
    }
    for (let count = 0; count < 4096; count += 512) {
      expect(connection.isClosed).toBe(false)
      const all = Promise.all(Array.from({ length: 512 }, refused))
      await until(() => far.all(MESSAGE.open).length === 1 + count + 512, { what: 'all wishes' })
      for (let index = 1 + count; index < 1 + count + 512; index++) refuseAll(index)
      await all
    }
    expect(connection.isClosed).toBe(true)
    far.send(MESSAGE.request, uint32(1), sshString('exit-status'), Buffer.from([0]), uint32(0))
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 0 })
    expect(connected.ends()).toBe(0)
  })
})

describe('a forwarded connection', () => {
  test.each<[string, number, string]>([
    ['that the host cannot make is unreachable', 2, 'UNREACHABLE'],
    ['that the server does not allow is refused', 1, 'CHANNEL_REFUSED'],
  ])('%s', async (_which, reason, code) => {
    const failing = failureOf(connection.forward('fe80::1', 22))
    const open = await far.came(MESSAGE.open)
    expect(open.text()).toBe('direct-tcpip')
    far.send(MESSAGE.openFailure, uint32(open.uint32()), uint32(reason), sshString('Connection refused'), sshString(''))
    expect(await failing).toMatchObject({ code, mayHaveRun: false, message: expect.stringContaining('[fe80::1]:22') })
  })

  test('behaves as a socket: both ends end by themselves, and destroying it closes the channel', async () => {
    const opening = connection.forward('10.0.0.20', 80)
    const number = await far.confirm()
    const stream = await opening
    const heard: string[] = []
    stream.on('data', (chunk: Buffer) => heard.push(String(chunk))).once('end', () => heard.push('the end'))
    far.raw(dataFrame(number, Buffer.from('hello')))
    far.send(MESSAGE.eof, uint32(number))
    await until(() => heard.length === 2, { what: 'the end' })
    expect(heard).toEqual(['hello', 'the end'])
    stream.end('bye')
    await far.came(MESSAGE.eof)
    expect(far.packets.map(({ type }) => type).filter((type) => type !== MESSAGE.windowAdjust)).toEqual([MESSAGE.open, MESSAGE.data, MESSAGE.eof, MESSAGE.close])
  })

  test('closes its channel when it is destroyed', async () => {
    const opening = connection.forward('10.0.0.20', 80)
    await far.confirm()
    const stream = await opening
    stream.destroy()
    await far.came(MESSAGE.close)
    expect(far.all(MESSAGE.eof)).toEqual([])
  })

  test('is destroyed when its connection is', async () => {
    const opening = connection.forward('10.0.0.20', 80)
    await far.confirm()
    const stream = await opening
    far.socket.destroy()
    await until(() => stream.destroyed, { what: 'the end of the stream' })
  })
})
