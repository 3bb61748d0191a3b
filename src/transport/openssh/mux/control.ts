import type { Socket } from 'node:net'
import { sshString, uint32, WireReader } from '../../../core/ssh-wire.ts'
import { FrameReader, type FrameTaker } from './frames.ts'

/** Messages of the multiplexing protocol. Source: OpenSSH PROTOCOL.mux, section 16; mux.c. */
const HELLO = 0x00000001
const ALIVE_CHECK = 0x10000004
const PROXY = 0x1000000f
const ALIVE = 0x80000005
const PROXY_READY = 0x8000000f

const VERSION = 4
const ALIVE_ID = 1
const PROXY_ID = 2

/** A master that passes packets on. */
export interface Proxy {
  /** Process id of the master. */
  readonly masterPid: number
}

/**
 * Makes the master at the other end of `socket` a proxy: from then on each frame is a packet of the connection protocol. What
 * comes after that goes to `onFrame` and `onData`; a frame that cannot be one, to `onGarbage`.
 * Rejects where it is no master of version 4 (OpenSSH 7.4 and later), and with a system error when the socket ends.
 */
export function becomeProxy(socket: Socket, on: FrameTaker & { readonly onGarbage: (error: Error) => void }): Promise<Proxy> {
  return new Promise((resolve, reject) => {
    let masterPid = 0
    const answer = (frame: Buffer): void => {
      const message = new WireReader(frame)
      const type = message.uint32()
      if (type === HELLO) return refuseVersion(message.uint32())
      message.uint32()
      if (type === ALIVE) {
        masterPid = message.uint32()
      } else if (type === PROXY_READY) {
        reader.readsPackets = true
        resolve({ masterPid })
      } else {
        throw new Error(`the master refuses to pass packets on (${type.toString(16)})`)
      }
    }
    const reader = new FrameReader({ onFrame: (frame) => (reader.readsPackets ? on.onFrame(frame) : answer(frame)), onData: on.onData })
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk)
      } catch (error) {
        const cause = error instanceof Error ? error : new Error(String(error))
        if (reader.readsPackets) on.onGarbage(cause)
        else socket.destroy(cause)
      }
    })
    socket.once('error', reject)
    socket.once('close', () => reject(Object.assign(new Error('the master closed its socket'), { code: 'ECONNRESET' })))
    socket.write(Buffer.concat([[uint32(HELLO), uint32(VERSION)], [uint32(ALIVE_CHECK), uint32(ALIVE_ID)], [uint32(PROXY), uint32(PROXY_ID)]].map((parts) => sshString(Buffer.concat(parts)))))
  })
}

function refuseVersion(version: number): void {
  if (version !== VERSION) throw new Error(`the master speaks version ${version} of the multiplexing protocol, and ${VERSION} is needed`)
}
