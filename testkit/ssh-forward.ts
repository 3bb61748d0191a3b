import { connect } from 'node:net'
import { pipeline } from 'node:stream'
import type { ServerChannel, TcpipRequestInfo } from 'ssh2'
import { isLoopback } from './loopback.ts'

/** One `direct-tcpip` request. Source: RFC 4254 section 7.2. */
export interface ForwardRequest {
  readonly accept: () => ServerChannel
  readonly reject: () => void
  readonly info: TcpipRequestInfo
  /** Settles when the connection that asked is gone. */
  readonly gone: Promise<void>
}

/** Connects the channel to where the client wants to go. Anything but loopback is refused. */
export function forwardToLoopback({ accept, reject, info, gone }: ForwardRequest): void {
  if (!isLoopback(info.destIP)) return reject()
  const socket = connect({ host: info.destIP, port: info.destPort, noDelay: true, allowHalfOpen: true })
  void gone.then(() => socket.destroy())
  socket.once('error', reject)
  socket.once('connect', () => {
    socket.off('error', reject)
    const channel = accept()
    pipeline(channel, socket, () => undefined)
    pipeline(socket, channel, () => socket.destroy())
  })
}
