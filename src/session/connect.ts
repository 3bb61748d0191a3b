import type { Duplex } from 'node:stream'
import { parseJump } from '../config/jump.ts'
import type { HostConfig, Settings } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { remexError } from '../core/errors.ts'
import type { Secret } from '../core/secret.ts'
import { findIdentities } from '../keys/identities.ts'
import { HostKeyStore } from '../keys/known-hosts.ts'
import { hostKeyVerifier, knownHostKeyTypes } from '../keys/verify-host-key.ts'
import type { ConnectTarget, Connection, Engine } from '../transport/contract.ts'
import type { Governor } from './governor.ts'
import type { LoginShells } from './login-shell.ts'
import type { ConnectionPool, Held } from './pool.ts'

/** What all sessions of one Remex share. */
export interface SessionRuntime {
  readonly hosts: ReadonlyMap<string, HostConfig>
  readonly settings: Settings
  readonly engine: Engine
  readonly clock: Clock
  readonly pool: ConnectionPool
  readonly governor: Governor
  readonly loginShells: LoginShells
  readonly env: NodeJS.ProcessEnv
  /** Asks on a terminal; undefined where there is none. */
  readonly askPassphrase: ((label: string) => Promise<Secret>) | undefined
}

/** Hosts that lead to one another are refused in the configuration; this bounds what `user@host` forms could add. */
const MOST_JUMPS = 8

/** Opens something on a connection to `host`: one from the pool, or a new one through the host's jump, if it has one. */
export function openOn<T extends Held>(
  runtime: SessionRuntime,
  host: HostConfig,
  { open, signal, depth = 0 }: { readonly open: (connection: Connection) => Promise<T>; readonly signal: AbortSignal | undefined; readonly depth?: number },
): Promise<{ readonly held: T; readonly connection: Connection }> {
  const connect = (abandoned: AbortSignal): Promise<Connection> => connectTo(runtime, host, { signal: abandoned, depth })
  return runtime.pool.open({ key: host.id, connect, open, signal })
}

interface Hop {
  readonly signal: AbortSignal
  readonly depth: number
}

async function connectTo(runtime: SessionRuntime, host: HostConfig, hop: Hop): Promise<Connection> {
  refuseOtherEngine(runtime, host)
  const target = await connectTarget(runtime, host)
  if (host.jump === undefined) {
    const server = `${host.address}:${host.port}`
    return runtime.governor.handshake(server, () => runtime.engine.connect(target, hop.signal), hop.signal)
  }
  const stream = await throughJump(runtime, host, hop)
  const server = `${host.jump}>${host.address}:${host.port}`
  return runtime.governor.handshake(server, () => runtime.engine.connect({ ...target, stream }, hop.signal), hop.signal)
}

/** The settings that ask for what only the other engine has; it must not look as if they were kept. */
function refuseOtherEngine({ settings, engine }: SessionRuntime, host: HostConfig): void {
  const asked = host.engine === 'auto' ? settings.engine : host.engine
  if (asked !== 'auto' && asked !== engine.name) {
    throw remexError('HANDSHAKE_FAILED', `${host.id} asks for the engine ${asked}, which this version does not have`, { vmId: host.id, hint: 'Set engine: auto or engine: ssh2.' })
  }
  if (settings.requirePostQuantum) {
    throw remexError('HANDSHAKE_FAILED', `${host.id}: require_post_quantum is set, and the engine ${engine.name} has no post-quantum key exchange`, { vmId: host.id, hint: 'Nothing was sent. Take require_post_quantum out of the configuration, or wait for the openssh engine.' })
  }
}

async function connectTarget(runtime: SessionRuntime, host: HostConfig): Promise<ConnectTarget> {
  const { settings, env, askPassphrase } = runtime
  const store = await HostKeyStore.load(settings.knownHostsPaths)
  const trust = { vmId: host.id, address: host.address, port: host.port, pinned: host.hostKeys, store }
  const identities = await findIdentities(
    { vmId: host.id, identityFile: host.identityFile, keyStoragePath: settings.keyStoragePath, keyStorageConfigured: settings.keyStorageConfigured },
    { env, askPassphrase },
  )
  return {
    vmId: host.id,
    address: host.address,
    port: host.port,
    login: host.login,
    identities,
    verifyHostKey: hostKeyVerifier(trust),
    knownHostKeyTypes: knownHostKeyTypes(trust),
    connectTimeoutMs: settings.connectTimeoutMs,
    keepaliveIntervalMs: settings.keepaliveIntervalMs,
  }
}

async function throughJump(runtime: SessionRuntime, host: HostConfig, { signal, depth }: Hop): Promise<Duplex> {
  if (depth >= MOST_JUMPS) throw remexError('UNREACHABLE', `${host.id} is more than ${MOST_JUMPS} jumps away`, { vmId: host.id })
  const jump = jumpHost(runtime, host)
  const open = async (connection: Connection): Promise<Held & { readonly stream: Duplex }> => {
    const stream = await connection.forward(host.address, host.port)
    return { stream, closed: new Promise((resolve) => stream.once('close', resolve)) }
  }
  const { held } = await openOn(runtime, jump, { open, signal, depth: depth + 1 })
  return held.stream
}

/** The jump as a host of its own: one of the configuration, or `[user@]host[:port]` with the defaults. */
export function jumpHost({ hosts }: Pick<SessionRuntime, 'hosts'>, host: HostConfig): HostConfig {
  const jump = host.jump ?? ''
  const known = hosts.get(jump)
  if (known) return known
  const hop = parseJump(jump)
  if (!hop) throw remexError('CONFIG_INVALID', `${host.id}: jump ${JSON.stringify(jump)} is neither a host of the configuration nor [user@]host[:port]`, { vmId: host.id })
  return {
    id: jump,
    name: '',
    address: hop.address,
    port: hop.port,
    login: hop.login ?? host.login,
    role: '',
    enabled: true,
    groups: [],
    hostKeys: [],
    identityFile: host.identityFile,
    jump: undefined,
    engine: host.engine,
    sudo: false,
  }
}
