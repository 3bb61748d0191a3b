import { once } from 'node:events'
import { buffer, text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { fingerprint } from '../../src/core/host-key.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { until } from '../../testkit/until.ts'
import { collect, targetOf, type ContractCase } from './contract-server.ts'

/** A connection from its beginning to its end. */
export function lifeContract(subject: ContractCase): void {
  describe('a connection', () => {
    begins(subject)
    ends(subject)
    forwards(subject)
  })
}

function begins({ connect, engine, server, network }: ContractCase): void {
  test('tells what was negotiated, with algorithms that are allowed', async (context) => {
    const { info } = await connect(context)
    expect(info).toMatchObject({ engine: engine.name, mac: '' })
    expect(info.kex).toMatch(/^(curve25519|mlkem768x25519|sntrup761x25519)-sha(256|512)/)
    expect(info.cipher).toMatch(/gcm|chacha20/)
    expect(info.serverVersion).toMatch(/^SSH-2\.0-/)
    expect(server(context).hostKeys.map(({ blob }) => fingerprint(blob))).toContain(info.hostKey.fingerprint)
  })

  test('is given up when its signal aborts, before it begins and while it waits', async (context) => {
    const target = targetOf(server(context))
    const aborted = engine.connect(target, AbortSignal.abort())
    await expect(aborted).rejects.toMatchObject({ code: 'CANCELLED', vmId: 'vm01' })
    const silent = await listenOnLoopback(() => controller.abort())
    const controller = new AbortController()
    const waiting = engine.connect({ ...target, port: silent.port }, controller.signal)
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED', vmId: 'vm01' })
    await silent.close()
  })

  test('fetches all host keys without logging in', async (context) => {
    const keys = await engine.fetchHostKeys({ vmId: 'vm01', address: '127.0.0.1', port: network(context).port, connectTimeoutMs: 20_000, requirePostQuantum: false })
    const encode = ({ blob }: { blob: Buffer }): string => blob.toString('base64')
    expect(keys.map(encode).sort()).toEqual(server(context).hostKeys.map(encode).sort())
  })
}

function ends({ connect, network }: ContractCase): void {
  test('that is cut loses all its channels, ends their streams, and says so', async (context) => {
    const connection = await connect(context, { port: network(context).port })
    const channels = await Promise.all(Array.from({ length: 5 }, () => connection.exec('echo started; sleep 60')))
    await Promise.all(channels.map(({ stdout }) => once(stdout, 'readable')))
    network(context).cut()
    expect(await connection.closed).toMatchObject({ code: 'CONNECTION_LOST', vmId: 'vm01' })
    expect(connection.isClosed).toBe(true)
    expect(await Promise.all(channels.map(({ stdout }) => text(stdout)))).toEqual(channels.map(() => 'started\n'))
    expect(channels.map(({ isOutputWhole }) => isOutputWhole)).toEqual(channels.map(() => false))
    expect(await Promise.all(channels.map(({ exit }) => exit))).toEqual(channels.map(() => ({ kind: 'lost' })))
    await Promise.all(channels.map(({ closed }) => closed))
    await expect(connection.exec('true')).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: false })
  })

  test('that is cut may still be used by those who do not know yet: nothing throws, and the output so far is there', async (context) => {
    const connection = await connect(context, { port: network(context).port })
    const channel = await connection.exec('head -c 3000000 /dev/zero; sleep 60')
    await until(() => channel.stdout.readableLength > 1_000_000, { what: 'unread output' })
    network(context).cut()
    await connection.closed
    channel.signal('TERM')
    channel.close()
    channel.stdin.end('late')
    connection.close()
    expect((await buffer(channel.stdout)).length).toBeGreaterThan(1_000_000)
  })

  test('that is cut leaves output whole that had come to its end', async (context) => {
    const connection = await connect(context, { port: network(context).port })
    const channel = await connection.exec('echo all')
    await channel.closed
    network(context).cut()
    await connection.closed
    expect(await text(channel.stdout)).toBe('all\n')
    expect(channel.isOutputWhole).toBe(true)
  })

  test('keeps the exit status that came before the cut', async (context) => {
    const connection = await connect(context, { port: network(context).port })
    const channel = await connection.exec('exit 5')
    await channel.exit
    network(context).cut()
    await connection.closed
    expect(await channel.exit).toEqual({ kind: 'exited', exitCode: 5 })
  })

  test('that is stalled is found dead by its keepalive', async (context) => {
    const connection = await connect(context, { port: network(context).port, keepaliveIntervalMs: 250 })
    const channel = await connection.exec('sleep 60')
    network(context).stall()
    context.onTestFinished(() => network(context).resume())
    const cause = await connection.closed
    expect(cause).toMatchObject({ code: 'CONNECTION_LOST', message: expect.stringContaining('missed 3 keepalives') })
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })

  test('that is idle is kept alive by its keepalive', async (context) => {
    const connection = await connect(context, { keepaliveIntervalMs: 250 })
    const { stdout } = await collect(await connection.exec('sleep 1.5; echo alive'))
    expect(String(stdout)).toBe('alive\n')
  })

  test('is closed by us within a moment when the network is dead', async (context) => {
    const connection = await connect(context, { port: network(context).port })
    network(context).stall()
    context.onTestFinished(() => network(context).resume())
    connection.close()
    expect(await connection.closed).toBeNull()
  })

  test('may be closed twice; its open channels are lost and nothing is wrong with it', async (context) => {
    const connection = await connect(context)
    const channel = await connection.exec('sleep 60')
    connection.close()
    connection.close()
    expect(connection.isClosed).toBe(true)
    expect(await connection.closed).toBeNull()
    expect(await channel.exit).toEqual({ kind: 'lost' })
    await expect(connection.exec('true')).rejects.toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: false })
    await expect(connection.subsystem('sftp')).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    await expect(connection.forward('127.0.0.1', 1)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
  })
}

function forwards({ connect, engine, server }: ContractCase): void {
  test('forwards a stream to an address as the host sees it', async (context) => {
    const echo = await listenOnLoopback((socket) => socket.pipe(socket), { allowHalfOpen: true })
    const stream = await (await connect(context)).forward('127.0.0.1', echo.port)
    stream.end('there and back')
    expect(await text(stream)).toBe('there and back')
    await echo.close()
  })

  test('refuses to forward to where nothing listens, as unreachable', async (context) => {
    const gone = await listenOnLoopback(() => undefined)
    await gone.close()
    const stream = (await connect(context)).forward('127.0.0.1', gone.port)
    await expect(stream).rejects.toMatchObject({ code: 'UNREACHABLE', vmId: 'vm01' })
  })

  test('carries another connection, which ends with it', async (context) => {
    const outer = await connect(context)
    const target = targetOf(server(context), { open: () => outer.forward('127.0.0.1', server(context).port) })
    const inner = await engine.connect(target)
    expect(String((await collect(await inner.exec('echo through'))).stdout)).toBe('through\n')
    const channel = await inner.exec('sleep 60')
    outer.close()
    expect(await inner.closed).toMatchObject({ code: 'CONNECTION_LOST' })
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })
}
