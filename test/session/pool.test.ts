import { describe, expect, it } from 'vitest'
import { remexError } from '../../src/core/errors.ts'
import { ConnectionPool, type Held } from '../../src/session/pool.ts'
import type { Connection } from '../../src/transport/contract.ts'

/** A connection that allows so many channels at once, as sshd's MaxSessions does. */
class Line {
  open = 0
  readonly gone = resolvers<null>()
  readonly connection: Connection
  closedByPool = false

  constructor(serverVersion: string) {
    const refuse = (): never => {
      throw new Error('not used here')
    }
    this.connection = {
      info: { engine: 'ssh2', engineReason: '', hostKey: { type: '', fingerprint: '' }, kex: '', cipher: '', mac: '', postQuantum: 'none', serverVersion },
      closed: this.gone.promise,
      isClosed: false,
      exec: refuse,
      subsystem: refuse,
      provenHostKeys: () => Promise.resolve([]),
      forward: refuse,
      close: () => {
        this.closedByPool = true
        this.gone.resolve(null)
      },
    }
  }
}

class Server {
  readonly lines: Line[] = []
  readonly maxSessions: number
  readonly version: string

  constructor(maxSessions: number, version = 'SSH-2.0-OpenSSH_9.2') {
    this.maxSessions = maxSessions
    this.version = version
  }

  readonly connect = (): Promise<Connection> => {
    const line = new Line(this.version)
    this.lines.push(line)
    return Promise.resolve(line.connection)
  }

  readonly open = async (connection: Connection): Promise<Held & { end(): void; line: Line }> => {
    const line = this.lines.find((one) => one.connection === connection) as Line
    if (line.open >= this.maxSessions) throw remexError('CHANNEL_REFUSED', 'no more sessions')
    line.open++
    await Promise.resolve()
    const { promise, resolve } = resolvers<undefined>()
    return { line, closed: promise, end: () => (line.open--, resolve(undefined)) }
  }

  request(key = 'vm01', signal?: AbortSignal): Parameters<ConnectionPool['open']>[0] & { open: Server['open'] } {
    return { key, connect: this.connect, isSession: true, open: this.open, signal }
  }
}

describe('the connection pool', () => {
  it('shares one connection among requests for one host, and keeps hosts apart', async () => {
    const server = new Server(10)
    const pool = new ConnectionPool(10)
    await Promise.all([pool.open(server.request('a')), pool.open(server.request('a')), pool.open(server.request('b'))])
    expect(server.lines.map((line) => line.open)).toEqual([2, 1])
  })

  it('opens another connection when the server refuses a channel, and learns its limit', async () => {
    const server = new Server(10)
    const pool = new ConnectionPool(10)
    await Promise.all(Array.from({ length: 35 }, () => pool.open(server.request())))
    expect(server.lines.map((line) => line.open)).toEqual([10, 10, 10, 5])
  })

  it('gives Dropbear one session at a time on a connection, however many wait for the first', async () => {
    const server = new Server(10, 'SSH-2.0-dropbear_2022.83')
    const pool = new ConnectionPool(10)
    const [first] = await Promise.all(Array.from({ length: 5 }, () => pool.open(server.request())))
    expect(server.lines.map((line) => line.open)).toEqual([1, 1, 1, 1, 1])
    first?.held.end()
    await first?.held.closed
    await pool.open(server.request())
    expect(server.lines.map((line) => line.open)).toEqual([1, 1, 1, 1, 1])
  })

  it('lets streams through Dropbear share a connection, also with a session', async () => {
    const server = new Server(10, 'SSH-2.0-dropbear')
    const pool = new ConnectionPool(10)
    const stream = { ...server.request(), isSession: false }
    await Promise.all([pool.open(stream), pool.open(server.request()), pool.open(stream)])
    await pool.open(stream)
    expect(server.lines.map((line) => line.open)).toEqual([4])
  })

  it('says so when a connection with nothing else on it is refused a channel', async () => {
    const pool = new ConnectionPool(10)
    await expect(pool.open(new Server(0).request())).rejects.toMatchObject({ code: 'CHANNEL_REFUSED' })
  })

  it('never gives out a connection that broke', async () => {
    const server = new Server(10)
    const pool = new ConnectionPool(10)
    await pool.open(server.request())
    server.lines[0]?.gone.resolve(null)
    await server.lines[0]?.gone.promise
    await pool.open(server.request())
    expect(server.lines).toHaveLength(2)
  })

  it('gives the failure of a connection to all who waited for it, and tries anew for the next', async () => {
    const server = new Server(10)
    const pool = new ConnectionPool(10)
    const down = { ...server.request(), connect: () => Promise.reject(remexError('UNREACHABLE', 'down')) }
    const results = await Promise.allSettled([pool.open(down), pool.open(down)])
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected'])
    await expect(pool.open(server.request())).resolves.toBeDefined()
  })

  it('keeps only so many idle connections, the most recently used', async () => {
    const server = new Server(10)
    const pool = new ConnectionPool(2)
    for (const key of ['a', 'b', 'c']) {
      const { held } = await pool.open(server.request(key))
      const channel = held
      channel.end()
      await channel.closed
    }
    await Promise.resolve()
    expect(server.lines.map((line) => line.closedByPool)).toEqual([true, false, false])
  })

  it('gives up connecting when nobody waits for it any more', async () => {
    const pool = new ConnectionPool(2)
    const cancel = new AbortController()
    let abandoned = false
    const connect = (signal: AbortSignal): Promise<Connection> =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => (abandoned = true, reject(new Error('abandoned')))))
    const opening = pool.open({ ...new Server(1).request('a', cancel.signal), connect })
    cancel.abort()
    await expect(opening).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(abandoned).toBe(true)
  })

  it('closes everything when it is closed', async () => {
    const server = new Server(10)
    const pool = new ConnectionPool(10)
    await pool.open(server.request('a'))
    await pool.open(server.request('b'))
    pool.close()
    await Promise.all(server.lines.map((line) => line.gone.promise))
    expect(server.lines.map((line) => line.closedByPool)).toEqual([true, true])
  })
})

/** `Promise.withResolvers` came after Node 20. */
function resolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((done) => (resolve = done))
  return { promise, resolve }
}
