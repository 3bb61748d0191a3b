import type { Duplex } from 'node:stream'
import { jumpHops, parseHop } from '../config/jump.ts'
import type { HostConfig, Settings } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { remexError } from '../core/errors.ts'
import type { HostKey } from '../core/host-key.ts'
import type { Identity } from '../core/identity.ts'
import type { KnownHostsFiles } from '../keys/known-hosts-files.ts'
import { bareFingerprints, certAuthoritiesOf, hostKeyVerifier, knownHostKeys, revokedHostKeys } from '../keys/verify-host-key.ts'
import type { ConnectTarget, Connection, Route, SshConfigUse } from '../transport/contract.ts'
import type { SshConfigAnswer, SshConfigQuestion } from '../transport/openssh/ssh-config.ts'
import { chooseEngine, type Engines } from '../transport/engine-choice.ts'
import type { Governor } from './governor.ts'
import type { LoginShells } from './login-shell.ts'
import type { ConnectionPool, Held, PoolRequest } from './pool.ts'

/** What all sessions of one Remex share. */
export interface SessionRuntime {
  readonly hosts: ReadonlyMap<string, HostConfig>
  readonly settings: Settings
  readonly engines: Engines
  readonly knownHosts: Pick<KnownHostsFiles, 'load'>
  readonly clock: Clock
  readonly pool: ConnectionPool
  readonly governor: Governor
  readonly loginShells: LoginShells
  /** The ways to log in to a host, in the order to try them. Rejects with `KEY_NOT_FOUND` or `KEY_UNUSABLE`. */
  readonly identitiesOf: (host: HostConfig) => Promise<readonly Identity[]>
  /** What the settings of the machine's `ssh` say of a host. Rejects with `LOCAL_NOT_FOUND` or `CONFIG_INVALID`. */
  readonly askSshConfig: (question: SshConfigQuestion) => Promise<SshConfigAnswer>
}

/** Hosts that lead to one another are refused in the configuration; this bounds what `user@host` forms could add. */
const MOST_JUMPS = 8

/** Opens something on a connection to `host`: one from the pool, or a new one through the host's jump, if it has one. */
export function openOn<T extends Held>(
  runtime: SessionRuntime,
  host: HostConfig,
  { open, signal, isSession = false, ...hop }: Pick<PoolRequest<T>, 'open' | 'signal'> & Partial<Pick<PoolRequest<T>, 'isSession'> & Omit<Hop, 'signal'>>,
): Promise<{ readonly held: T; readonly connection: Connection }> {
  const connect = (abandoned: AbortSignal): Promise<Connection> => connectTo(runtime, host, { depth: 0, ...hop, signal: abandoned })
  return runtime.pool.open({ key: `${hop.wantsHostKeys ? '!' : ''}${wayTo(host)}`, connect, open, isSession, signal })
}

interface Hop {
  readonly signal: AbortSignal
  readonly depth: number
  /** Whether the host is to prove all its keys: such a connection is one of its own. Default: false. */
  readonly wantsHostKeys?: boolean
}

/** The same host by another way is another connection. */
const wayTo = ({ id, jump }: HostConfig): string => `${jump ?? ''}>${id}`

/** All host keys that a host shows, also behind jumps; these prove themselves. Proves nothing of the host itself. */
export async function offeredHostKeys(runtime: SessionRuntime, host: HostConfig, signal: AbortSignal | undefined): Promise<readonly HostKey[]> {
  const { route } = await routeTo(runtime, host, { signal: signal ?? new AbortController().signal, depth: 0 })
  const { name } = chooseEngine(host, runtime.settings, { identities: [], hasAuthority: false })
  return runtime.governor.handshake(serverOf(host), () => runtime.engines[name].fetchHostKeys(route), signal)
}

/** What a host accepts as proof of who logs in, once it has proved itself. */
export async function loginMethods(runtime: SessionRuntime, host: HostConfig, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const { engine, ...target } = await targetOf(runtime, host, { hop: { signal: signal ?? new AbortController().signal, depth: 0 }, identities: [] })
  return runtime.governor.handshake(serverOf(host), () => runtime.engines[engine].loginMethods(target, signal), signal)
}

async function connectTo(runtime: SessionRuntime, host: HostConfig, hop: Hop): Promise<Connection> {
  const { engine, ...target } = await targetOf(runtime, host, { hop, identities: await runtime.identitiesOf(host) })
  const connect = (): Promise<Connection> => runtime.governor.handshake(serverOf(host), () => runtime.engines[engine].connect(target, hop.signal), hop.signal)
  return host.jump === undefined ? connect() : runtime.governor.through(host.jump, connect, hop.signal)
}

/** What handshakes are counted by. */
const serverOf = ({ jump, address, port }: HostConfig): string => `${jump === undefined ? '' : `${jump}>`}${address}:${port}`

interface Proposal {
  readonly hop: Hop
  readonly identities: readonly Identity[]
}

/** How the host is reached, what vouches for it, and which engine that takes. */
async function targetOf(runtime: SessionRuntime, host: HostConfig, { hop, identities }: Proposal): Promise<ConnectTarget & { readonly engine: keyof Engines }> {
  const { settings, knownHosts } = runtime
  const { route, login } = await routeTo(runtime, host, hop)
  const { vmId, sshConfig } = route
  const named = sshConfig?.hostKeyAlias === undefined ? route : { address: sshConfig.hostKeyAlias, port: 22 }
  const trust = { vmId, address: named.address, port: named.port, pinned: host.hostKeys, store: await knownHosts.load() }
  const certAuthorities = certAuthoritiesOf(trust)
  const { name, reason } = chooseEngine(host, settings, { identities, hasAuthority: certAuthorities.length > 0 })
  return {
    ...route,
    engine: name,
    engineReason: reason,
    login,
    identities,
    verifyHostKey: hostKeyVerifier(trust),
    knownHostKeys: knownHostKeys(trust),
    knownFingerprints: bareFingerprints(trust),
    certAuthorities,
    revokedHostKeys: revokedHostKeys(trust),
    keepaliveIntervalMs: settings.keepaliveIntervalMs,
    wantsHostKeys: hop.wantsHostKeys ?? false,
  }
}

/** The way to a host, as the configuration has it and, where it says so, the settings of `ssh`. */
async function routeTo(runtime: SessionRuntime, host: HostConfig, hop: Hop): Promise<{ readonly route: Route; readonly login: string }> {
  const { connectTimeoutMs, requirePostQuantum } = runtime.settings
  const { address, port, login, sshConfig } = await asSshConfigSays(runtime, host)
  const open = host.jump === undefined ? undefined : (): Promise<Duplex> => throughJump(runtime, { ...host, address, port }, hop)
  return { route: { vmId: host.id, address, port, connectTimeoutMs, requirePostQuantum, open, sshConfig }, login }
}

async function asSshConfigSays({ settings, askSshConfig }: SessionRuntime, host: HostConfig): Promise<Pick<HostConfig, 'address' | 'port' | 'login'> & { readonly sshConfig?: SshConfigUse }> {
  const { id: vmId, address, port, login, sshConfig } = host
  if (!sshConfig) return { address, port, login }
  const { alias, ownsAddress, ownsPort, ownsLogin } = sshConfig
  const file = settings.sshConfigPath
  const own = { ...(ownsAddress && { address }), ...(ownsPort && { port }), ...(ownsLogin && { login }) }
  const { hostKeyAlias, ...found } = await askSshConfig({ vmId, alias, file, ...own })
  return { address: found.address, port: found.port, login: found.login, sshConfig: { alias, file, hostKeyAlias, isProxied: found.proxied } }
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
    identityCertificate: host.identityCertificate,
    sshConfig: undefined,
    jump: before,
    engine: host.engine,
    sudo: false,
  }
}
