import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import type { Channel } from '../../src/transport/contract.ts'
import { until } from '../../testkit/until.ts'
import { collect, type ContractCase } from './contract-server.ts'

/** Channels: how they begin, how they end, how many there are. */
export function channelContract(subject: ContractCase): void {
  describe('a channel', () => {
    exits(subject)
    limits(subject)
    subsystems(subject)
  })
}

function exits({ connect, server }: ContractCase): void {
  test('gives every exit status from 0 to 255 as it was', async (context) => {
    const connection = await connect(context)
    const run = async (status: number): Promise<unknown> => {
      const channel = await connection.exec(`exit ${status}`)
      await collect(channel)
      return channel.exit
    }
    for (let first = 0; first < 256; first += 4) {
      const statuses = Array.from({ length: 4 }, (_, index) => first + index)
      expect(await Promise.all(statuses.map(run))).toEqual(statuses.map((exitCode) => ({ kind: 'exited', exitCode })))
    }
  })

  for (const signal of ['TERM', 'KILL', 'HUP', 'USR1', 'SEGV']) {
    test(`tells that its process was ended by ${signal}, without SIG`, async (context) => {
      const channel = await (await connect(context)).exec(`kill -${signal} $$`)
      expect(await channel.exit).toEqual({ kind: 'signaled', signal })
    })
  }

  test('signals its process, also when standard input is at its end', async (context) => {
    const connection = await connect(context)
    const channel = await connection.exec('echo ready; exec sleep 60')
    channel.stdin.end()
    channel.stdout.once('data', () => channel.signal('TERM'))
    expect(await channel.exit).toEqual({ kind: 'signaled', signal: 'TERM' })
  })

  test('has no signal of a name that SSH does not have, and says so', async (context) => {
    const channel = await (await connect(context)).exec('read line')
    expect(() => channel.signal('NONESUCH')).toThrow(expect.objectContaining({ code: 'USAGE' }))
    await collect(channel)
  })

  test('has a terminal where one is asked for, and none where not', async (context) => {
    const host = server(context)
    if ('givesTerminals' in host && host.givesTerminals === false) context.skip('an sshd of an ordinary user serves no pty')
    const connection = await connect(context)
    const command = 'test -t 0 && test -t 1 && echo "$TERM" || echo none'
    const withPty = await connection.exec(command, { pty: { term: 'vt220', columns: 132, rows: 50 } })
    expect((await text(withPty.stdout)).trim()).toBe('vt220')
    expect(String((await collect(await connection.exec(command))).stdout)).toBe('none\n')
  })

  test('may be closed by us, twice; its process goes on, and the connection too', async (context) => {
    const connection = await connect(context)
    const channel = await connection.exec('echo $$; exec sleep 1')
    const [pid] = await channel.stdout.take(1).toArray() as Buffer[]
    channel.close()
    channel.close()
    const { stdout } = await collect(await connection.exec(`kill -0 ${String(pid).trim()} && echo alive`))
    expect(String(stdout)).toBe('alive\n')
    await channel.closed
  })
}

function limits({ connect }: ContractCase): void {
  test('is one of ten that work at once, and the eleventh is refused while they live', async (context) => {
    const connection = await connect(context)
    const channels = await Promise.all(Array.from({ length: 10 }, (_, index) => connection.exec(`read line; echo "${index} $line"`)))
    await expect(connection.exec('echo never')).rejects.toMatchObject({ code: 'CHANNEL_REFUSED', mayHaveRun: false, vmId: 'vm01' })
    const lines = await Promise.all(channels.map(answer))
    expect(lines).toEqual(channels.map((_, index) => `${index} hello ${index}\n`))
    // The server gives a slot back when it has seen our side close, which is a moment after we have seen its.
    const next = await until(() => connection.exec('echo again'), { what: 'a slot to be free again' })
    expect(String((await collect(next)).stdout)).toBe('again\n')
  })

  async function answer(channel: Channel, index: number): Promise<string> {
    channel.stdin.end(`hello ${index}\n`)
    const line = await text(channel.stdout)
    await channel.closed
    return line
  }
}

function subsystems({ connect }: ContractCase): void {
  test('can be a subsystem: sftp answers with its version', async (context) => {
    const channel = await (await connect(context)).subsystem('sftp')
    channel.stdin.write(Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]))
    const [packet] = await channel.stdout.take(1).toArray() as Buffer[]
    expect(packet?.[4]).toBe(2)
    channel.close()
  })

  test('is refused for a subsystem that there is not, however often, and costs the connection nothing', async (context) => {
    const connection = await connect(context)
    for (let attempt = 0; attempt < 12; attempt++) {
      await expect(connection.subsystem('nonesuch')).rejects.toMatchObject({ code: 'CHANNEL_REFUSED', mayHaveRun: false })
    }
    expect(String((await collect(await connection.exec('echo fine'))).stdout)).toBe('fine\n')
  })
}
