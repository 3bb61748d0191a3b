import type { Socket } from 'node:net'
import ssh2 from 'ssh2'
import { afterEach, describe, expect, test } from 'vitest'
import { parseHostKey, type HostKey } from '../../src/core/host-key.ts'
import { opensshEngine } from '../../src/transport/openssh/engine.ts'
import { Transcript } from '../../src/transport/openssh/transcript.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import type { ConnectTarget } from '../../src/transport/contract.ts'

const engine = opensshEngine(process.env)
const hostKey = makeKeyPair()
const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** A server with this one cipher that lets in whoever comes. */
function serve(socket: Socket): void {
  const server = new ssh2.Server({ hostKeys: [hostKey.privateKey], algorithms: { cipher: ['chacha20-poly1305@openssh.com'] } }, (connection) => {
    connection.on('error', () => undefined)
    connection.on('authentication', (context) => context.accept())
  })
  server.injectSocket(socket)
}

async function target(): Promise<ConnectTarget> {
  const server = await listenOnLoopback(serve)
  cleanups.push(server.close)
  return {
    vmId: 'vm01', address: '127.0.0.1', port: server.port, login: 'tester', engineReason: 'test',
    identities: [{ kind: 'key', label: 'id', data: Buffer.from(makeKeyPair().privateKey) }],
    verifyHostKey: () => undefined, knownHostKeys: [parseHostKey(hostKey.publicKey) as HostKey], knownFingerprints: [], certAuthorities: [], revokedHostKeys: [],
    requirePostQuantum: false, connectTimeoutMs: 20_000, keepaliveIntervalMs: Infinity,
  }
}

describe.skipIf(!findProgram('ssh'))('chacha20-poly1305 by ssh', () => {
  test('is used where both sides keep to strict key exchange', async () => {
    const connection = await engine.connect(await target())
    expect(connection.info.cipher).toBe('chacha20-poly1305@openssh.com')
    connection.close()
    await connection.closed
  })

  test.each([
    ['says so', 'debug1: ssh_packet_send2_wrapped: resetting send seqnr 3\r\n', true],
    ['says nothing of it', 'debug1: SSH2_MSG_NEWKEYS sent\r\ndebug1: Remote: resetting send seqnr 3\r\n', false],
  ])('is taken for safe by what ssh says: it %s', (_sentence, text, isStrict) => {
    const transcript = new Transcript()
    transcript.add(text)
    expect(transcript.isStrict).toBe(isStrict)
  })
})
