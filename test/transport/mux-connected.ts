import { once } from 'node:events'
import { connect } from 'node:net'
import type { ConnectionInfo } from '../../src/transport/contract.ts'
import { MuxConnection } from '../../src/transport/openssh/connection.ts'
import { lossOf } from '../../src/transport/openssh/failure.ts'
import { Line } from '../../src/transport/openssh/mux/line.ts'
import { Transcript } from '../../src/transport/openssh/transcript.ts'
import type { Puppet } from './mux-puppet.ts'

const INFO: ConnectionInfo = {
  engine: 'openssh', engineReason: 'test', hostKey: { type: 'ssh-ed25519', fingerprint: 'SHA256:x' }, kex: 'curve25519-sha256',
  cipher: 'aes256-gcm@openssh.com', mac: '', postQuantum: 'none', serverVersion: 'SSH-2.0-Puppet',
}

/** A connection to a puppet, and what it did with its master. */
export interface Connected {
  readonly connection: MuxConnection
  /** How often the master was told to end. */
  readonly ends: () => number
}

/** A connection whose master is a puppet; `mostLines` are opened, and no more. */
export async function connectedTo(puppet: Puppet, { mostLines = Infinity } = {}): Promise<Connected> {
  const lines: Line[] = []
  let ends = 0
  const connection = await MuxConnection.over({
    info: INFO,
    peer: { vmId: 'vm01', address: '10.0.0.10', port: 22 },
    master: {
      openLine: async (timing) => {
        if (lines.length >= mostLines) throw new Error('no more lines')
        const socket = connect(puppet.path)
        await once(socket, 'connect')
        const line = await Line.open(socket, timing)
        lines.push(line)
        return line
      },
      lost: async (peer, violation) => lossOf(peer, new Transcript(), violation),
      end: () => {
        ends++
        lines.forEach((line) => line.close())
      },
      provenHostKeys: async () => [],
    },
  })
  return { connection, ends: () => ends }
}
