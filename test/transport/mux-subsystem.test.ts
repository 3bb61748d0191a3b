import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import type { Channel } from '../../src/transport/contract.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { connectedTo, type Connected } from './mux-connected.ts'
import { dataFrame, Puppet, type PuppetLine } from './mux-puppet.ts'

let puppet: Puppet

beforeEach(async () => { puppet = await Puppet.start() })
afterEach(() => puppet.close())

/** The line that comes as this one, when it has come. */
const lineOf = (index: number): Promise<PuppetLine> => until(() => puppet.lines[index], { what: `line ${index}` })

/** A subsystem that runs, on this line. */
async function running({ connection }: Connected, index: number): Promise<{ channel: Channel; far: PuppetLine; number: number }> {
  const starting = connection.subsystem('sftp')
  const far = await lineOf(index)
  const number = await far.confirm()
  const request = await far.came(MESSAGE.request)
  expect([request.uint32(), request.text(), request.byte(), request.text()]).toEqual([7, 'subsystem', 1, 'sftp'])
  far.send(MESSAGE.success, uint32(number))
  return { channel: await starting, far, number }
}

describe('a subsystem', () => {
  test('has a line of its own, which stays for the next one', async () => {
    const connected = await connectedTo(puppet)
    const { connection } = connected
    const [first] = [await running(connected, 1), await running(connected, 2)]
    expect(puppet.far(0).packets).toEqual([])
    first.far.send(MESSAGE.close, uint32(first.number))
    await first.channel.closed
    const starting = connection.subsystem('sftp')
    const number = await first.far.confirm({ index: 1 })
    await first.far.came(MESSAGE.request, 1)
    first.far.send(MESSAGE.success, uint32(number))
    await starting
    expect(puppet.lines).toHaveLength(3)
    connection.close()
    for (const { socket } of puppet.lines) await until(() => socket.closed, { what: 'the end of all lines' })
  })

  test('that gets no channel leaves its line as it is: ssh would end itself over the end of one', async () => {
    const { connection } = await connectedTo(puppet)
    for (const index of [0, 1, 2]) {
      const failing = failureOf(connection.subsystem('sftp'))
      const far = await lineOf(1)
      const open = await far.came(MESSAGE.open, index)
      open.string()
      far.send(MESSAGE.openFailure, uint32(open.uint32()), uint32(1), sshString('no more'), sshString(''))
      expect(await failing).toMatchObject({ code: 'CHANNEL_REFUSED', mayHaveRun: false })
      expect(far.socket.readyState).toBe('open')
    }
    expect(puppet.lines).toHaveLength(2)
    connection.close()
  })

  test('shares the line of the connection where it can have none', async () => {
    const connected = await connectedTo(puppet, { mostLines: 1 })
    await running(connected, 0)
    expect(puppet.lines).toHaveLength(1)
    connected.connection.close()
  })

  test('ends with its connection', async () => {
    const connected = await connectedTo(puppet)
    const { channel } = await running(connected, 1)
    puppet.far(0).socket.destroy()
    expect(await connected.connection.closed).toMatchObject({ code: 'CONNECTION_LOST' })
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })

  test('that is sent more than its window allows ends the connection, and it says so', async () => {
    const connected = await connectedTo(puppet)
    const { channel, far, number } = await running(connected, 1)
    for (let sent = 0; sent < 33; sent++) far.raw(dataFrame(number, Buffer.alloc(256 * 1024)))
    expect(await connected.connection.closed).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining('more than the channel window allows') })
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })

  test.each<[string, (far: PuppetLine, number: number) => void, string]>([
    ['is refused', (far, number) => far.send(MESSAGE.failure, uint32(number)), 'CHANNEL_REFUSED'],
    ['gets a close in place of an answer', (far, number) => far.send(MESSAGE.close, uint32(number)), 'CONNECTION_LOST'],
    ['gets no answer before its line ends', (far) => far.socket.destroy(), 'CONNECTION_LOST'],
  ])('that %s has run nothing, and costs the connection nothing', async (_what, answer, code) => {
    const { connection } = await connectedTo(puppet)
    const failing = failureOf(connection.subsystem('sftp'))
    const far = await lineOf(1)
    const number = await far.confirm()
    await far.came(MESSAGE.request)
    answer(far, number)
    expect(await failing).toMatchObject({ code, mayHaveRun: false, message: expect.stringContaining('vm01') })
    expect(connection.isClosed).toBe(false)
    connection.close()
  })
})
