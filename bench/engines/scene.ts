import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { formatHostKey } from '../../src/core/host-key.ts'
import type { Connection, ConnectTarget, Engine } from '../../src/transport/contract.ts'
import { opensshEngine } from '../../src/transport/openssh/engine.ts'
import { ssh2Engine } from '../../src/transport/ssh2/engine.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { makePlace, type Place } from '../rows/place.ts'

/** The one that is measured, and the one that it is measured by. */
export const ENGINES = ['openssh', 'ssh2'] as const

/** An engine, by its name. */
export type EngineName = Engine['name']

/** As contenders stand in the tables and goals. */
export const nameOf = (engine: EngineName): string => `${engine} engine`

/** A real sshd, and a connection to it by each engine. */
export interface Scene extends AsyncDisposable {
  readonly place: Place
  readonly connections: Readonly<Record<EngineName, Connection>>
}

/** Makes one. Throws where sshd or ssh is not installed. */
export async function openScene(): Promise<Scene> {
  const place = await makePlace()
  const open: Connection[] = []
  const connected = async (engine: EngineName): Promise<Connection> => {
    const connection = await connect(engine, place.server)
    open.push(connection)
    return connection
  }
  const close = async (): Promise<void> => {
    open.forEach((connection) => connection.close())
    await Promise.all(open.map(({ closed }) => closed))
    await place[Symbol.asyncDispose]()
  }
  try {
    return { place, connections: { openssh: await connected('openssh'), ssh2: await connected('ssh2') }, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Logs in to the server, which is known. */
export function connect(engine: EngineName, server: OpensshServer): Promise<Connection> {
  const engines = { openssh: () => opensshEngine(process.env), ssh2: ssh2Engine }
  return engines[engine]().connect(targetOf(server))
}

function targetOf({ address, port, login, privateKey, hostKeys }: OpensshServer): ConnectTarget {
  const known = new Set(hostKeys.map(formatHostKey))
  return {
    vmId: 'vm01', address, port, login,
    identities: [{ kind: 'key', label: 'id_ed25519_vm01', data: Buffer.from(privateKey) }],
    engineReason: 'measured',
    verifyHostKey: (key) => {
      if (!known.has(formatHostKey(key))) throw new Error(`the server shows another key: ${formatHostKey(key)}`)
    },
    knownFingerprints: [],
    knownHostKeys: hostKeys,
    certAuthorities: [],
    revokedHostKeys: [],
    requirePostQuantum: false,
    connectTimeoutMs: 30_000,
    keepaliveIntervalMs: 15_000,
  }
}

/** Runs a command that is to end with 0, and throws its output away. Resolves when its channel is closed. */
export async function runOn(connection: Connection, command: string): Promise<void> {
  const channel = await connection.exec(command)
  channel.stdin.end()
  channel.stdout.resume()
  channel.stderr.resume()
  const exit = await channel.exit
  if (exit.kind !== 'exited' || exit.exitCode !== 0) throw new Error(`\`${command}\` ended as ${JSON.stringify(exit)}`)
  await channel.closed
}

/** A configuration of Remex once more, with all its hosts served by `engine`, and an audit log of its own; resolves with its path. */
export async function configFor(engine: EngineName, configPath: string): Promise<string> {
  const folder = dirname(configPath)
  // Written by this benchmark: an object of objects.
  const config = JSON.parse(await readFile(configPath, 'utf8')) as { readonly remote_execution: Readonly<Record<string, unknown>> }
  const path = join(folder, `config-${engine}.json`)
  const settings = { ...config.remote_execution, engine, audit_log_path: join(folder, `audit-${engine}`) }
  await writeFile(path, JSON.stringify({ ...config, remote_execution: settings }), { mode: 0o600 })
  return path
}
