import { afterAll, beforeAll, type TestContext } from 'vitest'
import { formatHostKey, type HostKey } from '../../src/core/host-key.ts'
import type { Channel, Connection, ConnectTarget, Engine } from '../../src/transport/contract.ts'
import { buffer } from 'node:stream/consumers'
import { startNetwork, type TestNetwork } from '../../testkit/network.ts'
import type { Skipped, TestHost } from '../../testkit/index.ts'

/** One implementation against one kind of server. */
export interface ContractCase {
  readonly engine: Engine
  /** Skips the test where this server cannot be started here. */
  server(context: TestContext): TestHost
  /** A way to the server that can be cut. */
  network(context: TestContext): TestNetwork
  /** A connection of its own for this test; closed at the end. */
  connect(context: TestContext, more?: Partial<ConnectTarget>): Promise<Connection>
}

/** Starts the server once for a suite. */
export function contractCase(engine: Engine, makeServer: () => Promise<TestHost | Skipped>): ContractCase {
  let server: TestHost | Skipped | undefined
  let network: TestNetwork | undefined
  const open = new Set<Connection>()
  beforeAll(async () => {
    server = await makeServer()
    if (!('skipped' in server)) network = await startNetwork({ to: { host: server.address, port: server.port } })
  })
  afterAll(async () => {
    open.forEach((connection) => connection.close())
    await network?.close()
    if (server !== undefined && !('skipped' in server)) await server.close()
    // Looking through /proc for what is left can take long on a busy machine.
  }, 120_000)
  const serverOf = (context: TestContext): TestHost => {
    if (server === undefined) throw new Error('the server was not started')
    if ('skipped' in server) context.skip(server.skipped)
    return server
  }
  return {
    engine,
    server: serverOf,
    network: (context) => {
      serverOf(context)
      if (network === undefined) throw new Error('the network was not started')
      return network
    },
    connect: async (context, more) => {
      const connection = await engine.connect(targetOf(serverOf(context), more))
      open.add(connection)
      context.onTestFinished(() => connection.close())
      return connection
    },
  }
}

/** A target that trusts the server's keys and logs in with its client key. */
export function targetOf(server: TestHost, more: Partial<ConnectTarget> = {}): ConnectTarget {
  return {
    vmId: 'vm01',
    address: server.address,
    port: server.port,
    login: server.login,
    identities: [{ kind: 'key', label: 'id_ed25519_vm01', data: Buffer.from(server.privateKey) }],
    verifyHostKey: trusting(server),
    engineReason: 'test',
    knownHostKeys: server.hostKeys,
    knownFingerprints: [],
    certAuthorities: [],
    revokedHostKeys: [],
    requirePostQuantum: false,
    connectTimeoutMs: 20_000,
    keepaliveIntervalMs: 15_000,
    ...more,
  }
}

function trusting(server: TestHost): (key: HostKey) => void {
  const known = new Set(server.hostKeys.map(formatHostKey))
  return (key) => {
    if (!known.has(formatHostKey(key))) throw new Error(`the server shows another key: ${formatHostKey(key)}`)
  }
}

/** What a channel gave, all of it, with its standard input closed. */
export async function collect(channel: Channel): Promise<{ stdout: Buffer; stderr: Buffer }> {
  channel.stdin.end()
  const [stdout, stderr] = await Promise.all([buffer(channel.stdout), buffer(channel.stderr), channel.closed])
  return { stdout, stderr }
}
