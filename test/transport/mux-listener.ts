import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Something that listens on a socket in a directory of its own. */
export interface SocketListener {
  readonly path: string
  readonly sockets: ReadonlySet<Socket>
  close(): Promise<void>
}

/** Listens where a master's control socket could be, and hands over who comes. */
export async function listenOnSocket(onSocket: (socket: Socket) => void): Promise<SocketListener> {
  const directory = await mkdtemp(join(tmpdir(), 'listener-'))
  const path = join(directory, 'c')
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket))
    onSocket(socket)
  })
  server.listen(path)
  await once(server, 'listening')
  const close = async (): Promise<void> => {
    const closed = once(server, 'close')
    server.close()
    sockets.forEach((socket) => socket.destroy())
    await closed
    await rm(directory, { recursive: true })
  }
  return { path, sockets, close }
}
