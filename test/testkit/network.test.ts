import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { startNetwork, type NetworkOptions, type TestNetwork } from '../../testkit/network.ts'
import { until } from '../../testkit/until.ts'

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A network to a server that does this with each connection. */
async function networkTo(serve: (socket: Socket) => void, options: Omit<NetworkOptions, 'to'> = {}): Promise<TestNetwork> {
  const server = await listenOnLoopback(serve, { allowHalfOpen: true })
  const network = await startNetwork({ to: server, ...options })
  cleanups.push(server.close, network.close)
  return network
}

async function dial(network: TestNetwork): Promise<Socket> {
  const socket = connect({ port: network.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  cleanups.push(async () => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

const echo = (socket: Socket): void => void socket.pipe(socket)

async function roundTripMs(socket: Socket): Promise<number> {
  const before = performance.now()
  socket.write('ping')
  await once(socket, 'data')
  return performance.now() - before
}

/** Everything that arrives until the end, and how it ended. */
async function received(socket: Socket): Promise<{ data: Buffer; error: string | undefined }> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  let error: string | undefined
  socket.on('error', (cause) => (error = Reflect.get(cause, 'code')))
  await once(socket, 'close').catch(() => undefined)
  return { data: Buffer.concat(chunks), error }
}

describe('startNetwork', () => {
  test('carries bytes and half-closes in both directions', async () => {
    const network = await networkTo((socket) => {
      let length = 0
      socket.on('data', (chunk) => (length += chunk.length)).once('end', () => socket.end(`got ${length}`))
    })
    const socket = await dial(network)
    socket.end('12345')
    expect(String(await buffer(socket))).toBe('got 5')
    expect(network.delivered).toEqual({ toServer: 5, toClient: 5 })
    await until(() => network.openConnections === 0, { what: 'the pair to close' })
  })

  test('delays each direction by its latency, which can change while a connection is open', async () => {
    const network = await networkTo(echo, { latencyMs: 40 })
    const socket = await dial(network)
    expect(await roundTripMs(socket)).toBeGreaterThanOrEqual(79)
    network.setLatency(0)
    // A busy machine may be slow now and then, but not every time.
    await until(async () => (await roundTripMs(socket)) < 79, { what: 'a quick round trip' })
  })

  test('keeps bytes in order under jitter', async () => {
    const network = await networkTo(echo, { latencyMs: 2, jitterMs: 20 })
    const socket = await dial(network)
    const data = randomBytes(400_000)
    socket.end(data)
    expect((await buffer(socket)).equals(data)).toBe(true)
  })

  test('is not what limits the throughput at a round trip of 200 ms', async () => {
    const network = await networkTo((socket) => socket.resume().once('end', () => socket.end('done')))
    const secondsFor64MiB = async (): Promise<number> => {
      const socket = await dial(network)
      const before = performance.now()
      socket.end(Buffer.alloc(64 * 1024 * 1024))
      await once(socket, 'data')
      return (performance.now() - before) / 1000
    }
    const direct = await secondsFor64MiB()
    network.setLatency(100)
    // A window of 2 MiB would make it 6.4 s longer, whatever the machine; here it is little more than one round trip.
    expect((await secondsFor64MiB()) - direct).toBeLessThan(3)
  })

  test('delivers what is still under way when the sender has closed', async () => {
    const arrived: Buffer[] = []
    const network = await networkTo((socket) => {
      socket.end()
      socket.on('data', (chunk) => arrived.push(chunk))
    }, { latencyMs: 30 })
    const socket = await dial(network)
    socket.resume()
    await once(socket, 'end')
    socket.end('the last words')
    await until(() => Buffer.concat(arrived).toString() === 'the last words', { what: 'the last words' })
  })

  test('cuts every connection with a reset at both ends, and takes new ones', async () => {
    const ends: (string | undefined)[] = []
    const network = await networkTo((socket) => {
      socket.on('error', (error) => ends.push(Reflect.get(error, 'code')))
      echo(socket)
    })
    const socket = await dial(network)
    await roundTripMs(socket)
    const seen = received(socket)
    network.cut()
    expect((await seen).error).toBe('ECONNRESET')
    await until(() => ends.length === 1, { what: 'the reset at the server' })
    expect(ends).toEqual(['ECONNRESET'])
    await roundTripMs(await dial(network))
    expect(network.connections).toBe(2)
  })

  test('cuts although an end does not read', async () => {
    const network = await networkTo((socket) => void socket.write(Buffer.alloc(32 * 1024 * 1024)))
    const socket = await dial(network)
    socket.on('error', () => undefined)
    await until(() => network.delivered.toClient > 100_000, { what: 'a full pipe' })
    network.cut()
    await until(() => network.openConnections === 0, { what: 'the end of the pair' })
  })

  test.each([1, 1000, 65_537, 3_000_000])('cuts after exactly %i bytes', async (bytes) => {
    const data = randomBytes(4_000_000)
    const network = await networkTo((socket) => void socket.write(data))
    network.cutAfterBytes(bytes, 'toClient')
    const seen = await received(connect(network.port, '127.0.0.1'))
    expect(seen.error).toBe(undefined)
    expect(seen.data.equals(data.subarray(0, bytes))).toBe(true)
    expect(network.delivered.toClient).toBe(bytes)
    await until(() => network.openConnections === 0, { what: 'the end of both ends' })
  })

  test('moves nothing during a stall, loses nothing by it, and accepts connections all the while', async () => {
    const network = await networkTo(echo)
    const socket = await dial(network)
    await roundTripMs(socket)
    network.stall()
    const other = await dial(network)
    const before = { ...network.delivered }
    socket.write('held back')
    other.write('this too')
    const silence = Promise.race([once(socket, 'data'), new Promise((resolve) => setTimeout(resolve, 80, 'silence'))])
    expect(await silence).toBe('silence')
    expect(network.delivered).toEqual(before)
    network.resume()
    expect(String(await once(other, 'data'))).toBe('this too')
    await until(() => network.delivered.toClient === 4 + 'held back'.length + 'this too'.length, { what: 'what was held back' })
  })

  test.each(['toServer', 'toClient'] as const)('corrupts one bit of one byte on the way %s', async (direction) => {
    const network = await networkTo(echo)
    network.corrupt(70_000, direction)
    const socket = await dial(network)
    const data = randomBytes(200_000)
    socket.end(data)
    const echoed = await buffer(socket)
    const wrong = [...data.keys()].filter((index) => data[index] !== echoed[index])
    expect(wrong).toEqual([70_000])
    expect((data[70_000] ?? 0) ^ (echoed[70_000] ?? 0)).toBe(1)
  })

  test('resets the client when the server cannot be reached', async () => {
    const gone = await listenOnLoopback(() => undefined)
    await gone.close()
    const network = await startNetwork({ to: gone })
    cleanups.push(network.close)
    const socket = connect(network.port, '127.0.0.1')
    expect((await received(socket)).error).toBe('ECONNRESET')
  })

  test('leaves nothing open when it is closed', async () => {
    const network = await networkTo(echo)
    const seen = received(await dial(network))
    await network.close()
    await seen
    await network.close()
    await expect(once(connect(network.port, '127.0.0.1'), 'connect')).rejects.toThrow(/ECONNREFUSED/)
  })
})
