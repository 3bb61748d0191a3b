import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** A TCP server on loopback that knows its sockets. */
export interface LoopbackServer {
  readonly host: string
  readonly port: number
  /** Connections accepted so far. */
  readonly accepted: number
  /** Those that are open now. */
  readonly open: ReadonlySet<Socket>
  /** Breaks all connections that are open now with a TCP reset. */
  resetAll(): void
  /** Stops listening and breaks what is open. Safe to repeat. */
  close(): Promise<void>
}

/** Where to listen. */
export interface LoopbackOptions {
  /** Default: 127.0.0.1. Anything but a loopback address is refused. */
  readonly host?: string
  /** Default: 0, any free port. */
  readonly port?: number
  /** Default: false. */
  readonly allowHalfOpen?: boolean
}

/** Whether `host` is this machine and nobody else can reach it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** Listens on loopback, without Nagle's delay, and hands each socket to `onSocket`. Socket errors are swallowed. */
export async function listenOnLoopback(onSocket: (socket: Socket) => void, options: LoopbackOptions = {}): Promise<LoopbackServer> {
  const { host = '127.0.0.1', port = 0, allowHalfOpen = false } = options
  if (!isLoopback(host)) throw new Error(`${host} is not a loopback address; the test kit listens on nothing else`)
  const open = new Set<Socket>()
  let accepted = 0
  const server = createServer({ noDelay: true, allowHalfOpen }, (socket) => {
    accepted++
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => undefined)
    onSocket(socket)
  })
  server.listen(port, host)
  await once(server, 'listening')
  const resetAll = (): void => open.forEach(resetSocket)
  return {
    host,
    port: (server.address() as AddressInfo).port,
    get accepted() { return accepted },
    open,
    resetAll,
    close: () => closeServer(server, resetAll),
  }
}

/** Closes a socket with a TCP reset, now: what it has not sent yet is lost. */
export function resetSocket(socket: Socket): void {
  socket.resetAndDestroy()
  // One that still connects would wait for that first.
  socket.destroy()
}

/** A port that was free a moment ago. Another process may take it before you do: be ready to ask again. */
export async function freePort(): Promise<number> {
  const server = await listenOnLoopback((socket) => socket.destroy())
  await server.close()
  return server.port
}

async function closeServer(server: Server, resetAll: () => void): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  resetAll()
  await closed
}
