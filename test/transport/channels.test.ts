import type { Socket } from 'node:net'
import ssh2, { type Session } from 'ssh2'
import { afterEach, describe, expect, test } from 'vitest'
import type { Connection } from '../../src/transport/contract.ts'
import { ssh2Engine } from '../../src/transport/ssh2/engine.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { startOpensshServer, startSshServer, type SshServerOptions } from '../../testkit/index.ts'
import { startNetwork } from '../../testkit/network.ts'
import { until } from '../../testkit/until.ts'
import { collect, targetOf } from '../contract/contract-server.ts'

const engine = ssh2Engine()
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function connectTo(options: SshServerOptions = {}): Promise<Connection> {
  const server = await startSshServer(options)
  cleanups.push(server.close)
  const connection = await engine.connect(targetOf(server))
  cleanups.push(() => connection.close())
  return connection
}

const client = makeKeyPair()
const hostKey = makeKeyPair().privateKey

/** A connection to an ssh2 server which lets everybody in and does `behave` with each session. */
async function connectToSpoiled(behave: (session: Session, connection: unknown) => void): Promise<Connection> {
  const accept = (socket: Socket): void => {
    const server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => {
      connection.on('error', () => undefined)
      connection.on('authentication', (context) => context.accept())
      connection.on('session', (open) => behave(open(), connection))
    })
    server.injectSocket(socket)
  }
  const listener = await listenOnLoopback(accept)
  cleanups.push(listener.close)
  const connection = await engine.connect({
    vmId: 'vm01', address: '127.0.0.1', port: listener.port, login: 'tester', verifyHostKey: () => undefined, engineReason: 'test', requirePostQuantum: false, knownHostKeys: [], knownFingerprints: [], certAuthorities: [], revokedHostKeys: [],
    identities: [{ kind: 'key', label: 'id', data: Buffer.from(client.privateKey) }],
    connectTimeoutMs: 20_000, keepaliveIntervalMs: Infinity,
  })
  cleanups.push(() => connection.close())
  return connection
}

describe('whether a command may have run is told', () => {
  test('as yes when the connection breaks after it was sent and before the answer', async () => {
    const connection = await connectTo({ fault: 'drops-before-exec-reply' })
    await expect(connection.exec('true')).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true, vmId: 'vm01' })
  })

  test('as yes when the server closes the channel in place of an answer', async () => {
    const connection = await connectToSpoiled((session, server) => session.on('exec', () => closeUnanswered(session, server)))
    await expect(connection.exec('true')).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    expect(connection.isClosed).toBe(false)
  })

  test('as no when the server says that it does not run it; the channel is closed', async () => {
    const closed: number[] = []
    const connection = await connectToSpoiled((session) => {
      session.on('exec', (_accept, reject) => reject())
      session.on('close', () => closed.push(1))
    })
    await expect(connection.exec('true')).rejects.toMatchObject({ code: 'CHANNEL_REFUSED', mayHaveRun: false })
    await until(() => closed.length === 1, { what: 'the refused channel to be closed' })
  })

  test('as no when no terminal is given for it', async () => {
    const connection = await connectToSpoiled((session) => session.on('pty', (_accept, reject) => reject()))
    await expect(connection.exec('true', { pty: {} })).rejects.toMatchObject({ code: 'CHANNEL_REFUSED', mayHaveRun: false })
  })

  test('as no when the connection breaks before a channel was open', async () => {
    const server = await startSshServer({ delayMs: 300 })
    cleanups.push(server.close)
    const connection = await engine.connect(targetOf(server))
    const waiting = connection.exec('true')
    server.dropAll()
    await expect(waiting).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: false })
    expect(server.execs).toEqual([])
  })

  test('by the channel when the connection breaks after the answer', async () => {
    const connection = await connectTo({ fault: 'drops-after-exec-started' })
    const channel = await connection.exec('echo started; sleep 60')
    expect(await channel.exit).toEqual({ kind: 'lost' })
    expect(await connection.closed).toMatchObject({ code: 'CONNECTION_LOST' })
  })
})

test('a command that no packet can carry is refused before it breaks the connection for its neighbours', async () => {
  const connection = await connectTo()
  await expect(connection.exec(`: ${'x'.repeat(300_000)}`)).rejects.toMatchObject({ code: 'USAGE', vmId: 'vm01' })
  expect(String((await collect(await connection.exec('echo still here'))).stdout)).toBe('still here\n')
})

test('a server that sends more than the window allows is cut off before it fills the memory', async () => {
  const connection = await connectToSpoiled((session) => session.on('exec', (accept) => {
    const channel = accept()
    // A window that is not kept: as if ours were endless.
    Object.assign(Reflect.get(channel, 'outgoing') as object, { window: 2 ** 31 })
    // ssh2's client drops what comes when exactly nothing is left of the window, so the sizes are odd.
    channel.write(Buffer.alloc(999))
    for (let sent = 0; sent < 64; sent++) channel.write(Buffer.alloc(1024 * 1024))
  }))
  const channel = await connection.exec('flood')
  const message: unknown = expect.stringContaining('more than the channel window allows')
  expect(await connection.closed).toMatchObject({ code: 'CONNECTION_LOST', message })
  expect(channel.stdout.readableLength).toBeLessThan(10 * 1024 * 1024)
})

test('a slow network holds the writer back, however wide the server opens the window', async () => {
  const server = await startSshServer()
  const network = await startNetwork({ to: { host: server.address, port: server.port } })
  cleanups.push(server.close, network.close)
  const connection = await engine.connect(targetOf(server, { port: network.port, keepaliveIntervalMs: Infinity }))
  const channels = await Promise.all(Array.from({ length: 8 }, () => connection.exec('cat >/dev/null')))
  network.stall()
  const written = channels.map(() => 0)
  channels.forEach(({ stdin }, index) => {
    const write = (): void => void stdin.write(Buffer.alloc(1024 * 1024), () => {
      written[index] = (written[index] ?? 0) + 1
      if ((written[index] ?? 0) < 50) write()
    })
    write()
  })
  await until(() => channels.every(({ stdin }) => stdin.writableNeedDrain), { what: 'all writers to be held back' })
  expect(written.reduce((sum, count) => sum + count)).toBeLessThan(20)
  connection.close()
  await connection.closed
})

test('input that breaks off is not told as complete', async () => {
  const connection = await connectTo()
  const channel = await connection.exec('cat; echo complete')
  channel.stdin.write('half')
  channel.stdin.destroy(new Error('the source failed'))
  const [first] = await channel.stdout.take(1).toArray() as Buffer[]
  expect(String(first)).toBe('half')
  channel.close()
  await channel.closed
})

test('a terminal begins with the modes that are asked for', async (context) => {
  const server = await startOpensshServer()
  if ('skipped' in server) return context.skip(server.skipped)
  if (!server.givesTerminals) return context.skip('an sshd of an ordinary user serves no pty')
  cleanups.push(server.close)
  const connection = await engine.connect(targetOf(server))
  const modes = async (pty: { modes?: Record<string, number> }): Promise<string> =>
    String((await collect(await connection.exec('stty -a', { pty: { columns: 132, rows: 50, ...pty } }))).stdout)
  expect(await modes({ modes: { ECHO: 0, ICANON: 0 } })).toMatch(/rows 50; columns 132[^]*-icanon[^]*-echo /)
  expect(await modes({})).toMatch(/[^-]icanon[^]*[^-]echo /)
  connection.close()
})

/** Closes a session's channel without an answer to its request; ssh2's server has no call for that. */
function closeUnanswered(session: Session, connection: unknown): void {
  const protocol = read(connection, '_protocol')
  Reflect.apply(read(protocol, 'channelClose') as () => void, protocol, [read(read(read(session, '_chanInfo'), 'outgoing'), 'id')])
}

function read(from: unknown, name: string): unknown {
  return typeof from === 'object' && from !== null ? Reflect.get(from, name) : undefined
}
