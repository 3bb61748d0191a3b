import type { Duplex } from 'node:stream'
import { jumpHops, parseHop } from '../config/jump.ts'
import type { HostConfig, Settings } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { remexError } from '../core/errors.ts'
import type { HostKey } from '../core/host-key.ts'
import type { Identity } from '../core/identity.ts'
import type { KnownHostsFiles } from '../keys/known-hosts-files.ts'
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
  readonly knownHosts: Pick<KnownHostsFiles, 'load'>
  readonly clock: Clock
  readonly pool: ConnectionPool
  readonly governor: Governor
  readonly loginShells: LoginShells
  /** The ways to log in to a host, in the order to try them. Rejects with `KEY_NOT_FOUND` or `KEY_UNUSABLE`. */
  readonly identitiesOf: (host: HostConfig) => Promise<readonly Identity[]>
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
  return runtime.pool.open({ key: wayTo(host), connect, open, signal })
}

interface Hop {
  readonly signal: AbortSignal
  readonly depth: number
}

/** The same host by another way is another connection. */
const wayTo = ({ id, jump }: HostConfig): string => `${jump ?? ''}>${id}`

/** All host keys that a host shows, also behind jumps; these prove themselves. Proves nothing of the host itself. */
export function offeredHostKeys(runtime: SessionRuntime, host: HostConfig, signal: AbortSignal | undefined): Promise<readonly HostKey[]> {
  const hop = { signal: signal ?? new AbortController().signal, depth: 0 }
  const open = host.jump === undefined ? undefined : (): Promise<Duplex> => throughJump(runtime, host, hop)
  const { id: vmId, address, port } = host
  const { connectTimeoutMs } = runtime.settings
  return runtime.governor.handshake(serverOf(host), () => runtime.engine.fetchHostKeys({ vmId, address, port, connectTimeoutMs, open }), signal)
}

/** What a host accepts as proof of who logs in, once it has proved itself. */
export async function loginMethods(runtime: SessionRuntime, host: HostConfig, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const target = await provingTarget(runtime, host)
  const hop = { signal: signal ?? new AbortController().signal, depth: 0 }
  const stream = host.jump === undefined ? undefined : await throughJump(runtime, host, hop)
  return runtime.governor.handshake(serverOf(host), () => runtime.engine.loginMethods({ ...target, ...(stream && { stream }) }, signal), signal)
}

async function connectTo(runtime: SessionRuntime, host: HostConfig, hop: Hop): Promise<Connection> {
  refuseOtherEngine(runtime, host)
  const target = { ...(await provingTarget(runtime, host)), identities: await runtime.identitiesOf(host) }
  const { jump } = host
  if (jump === undefined) return runtime.governor.handshake(serverOf(host), () => runtime.engine.connect(target, hop.signal), hop.signal)
  // A stream is of one attempt: one that was turned away needs another.
  const connect = async (): Promise<Connection> => runtime.engine.connect({ ...target, stream: await throughJump(runtime, host, hop) }, hop.signal)
  return runtime.governor.through(jump, () => runtime.governor.handshake(serverOf(host), connect, hop.signal), hop.signal)
}

/** What handshakes are counted by. */
const serverOf = ({ jump, address, port }: HostConfig): string => `${jump === undefined ? '' : `${jump}>`}${address}:${port}`

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

async function provingTarget({ settings, knownHosts }: SessionRuntime, host: HostConfig): Promise<Omit<ConnectTarget, 'identities'>> {
  const store = await knownHosts.load()
  const trust = { vmId: host.id, address: host.address, port: host.port, pinned: host.hostKeys, store }
  return {
    vmId: host.id,
    address: host.address,
    port: host.port,
    login: host.login,
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

/**
 * The last hop before a host, as a host of its own: one of the configuration, or `[user@]host[:port]` with the defaults. Where
 * `jump` names several, the hops before it are its own jump.
 */
export function jumpHost({ hosts }: Pick<SessionRuntime, 'hosts'>, host: HostConfig): HostConfig {
  const hops = jumpHops(host.jump ?? '')
  const jump = hops.at(-1) ?? ''
  const before = hops.length > 1 ? hops.slice(0, -1).join(',') : undefined
  const known = hosts.get(jump)
  if (known) return before === undefined ? known : { ...known, jump: before }
  const hop = parseHop(jump)
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
    jump: before,
    engine: host.engine,
    sudo: false,
  }
}
