import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Algorithms } from 'ssh2'
import ssh2 from 'ssh2'
import { fingerprint, formatHostKey, type HostKey } from '../src/core/host-key.ts'
import { makeKeyPair, type KeyPair } from './keys.ts'
import { listenOnLoopback, type LoopbackServer } from './loopback.ts'
import { endProcesses } from './processes.ts'
import { serveConnection, type AuthenticationFault, type ConnectionSettings } from './ssh-connection.ts'
import { loginChecker, type TestLogin } from './ssh-login.ts'
import type { ServedProcess } from './ssh-process.ts'
import { opensshSftpServer, type ExecFault } from './ssh-session.ts'

/** How a test server is to be. Everything has a default: a server with one login, `tester`. */
export interface SshServerOptions {
  /** Who may log in, with which keys. Default: `tester` with the key that the server hands out as `privateKey`. */
  readonly users?: readonly TestLogin[]
  /** Private keys, OpenSSH or PEM format, at most one of each type. Default: a fresh ed25519 key. */
  readonly hostKeys?: readonly string[]
  /** Runs the commands, as `<shell> -c <command>`. Default: `/bin/sh`. */
  readonly shell?: string
  /** Session channels open at once on one connection; more are refused. Default: 10, as sshd. */
  readonly maxSessions?: number
  /** Where SFTP starts: relative paths go from there. Default: the home. It is no jail. */
  readonly sftpRoot?: string
  /** `openssh` is the real sftp-server. Default: that one where it is installed, else the kit's own. */
  readonly sftp?: 'openssh' | 'own'
  /** More environment for the commands. `HOME` in it replaces the fresh home, and is then yours to remove. */
  readonly env?: Readonly<Record<string, string>>
  /** Run in place of every command, which it then finds in `SSH_ORIGINAL_COMMAND`, as with sshd's ForceCommand. Default: none. */
  readonly forceCommand?: string
  /** Algorithms to offer. Default: those of ssh2. */
  readonly algorithms?: Algorithms
  /** Default: 127.0.0.1. Only loopback addresses are taken. */
  readonly host?: string
  /** Default: any free port. */
  readonly port?: number
  /** Time it takes to answer each login and each opening of a session. Default: 0. */
  readonly delayMs?: number
  /** Refuses signal requests, as sshd does for root logins. Default: false. */
  readonly refuseSignals?: boolean
  /** Kills a command whose client has gone; sshd does not. Default: false. */
  readonly killOnDisconnect?: boolean
  /** Something that the server does wrong. Default: nothing. */
  readonly fault?: AuthenticationFault | ExecFault
}

/** A host key of a test server. */
export interface TestHostKey extends HostKey {
  /** `SHA256:…` */
  readonly fingerprint: string
}

/** What every SSH server of the kit has, so that one suite can run against all of them. */
export interface TestHost extends AsyncDisposable {
  /** 127.0.0.1, unless asked otherwise. */
  readonly address: string
  readonly port: number
  /** A login that `privateKey` opens. */
  readonly login: string
  /** OpenSSH format. */
  readonly privateKey: string
  readonly hostKeys: readonly TestHostKey[]
  /** What known_hosts needs to trust it: one line for each host key, each with its newline. */
  readonly knownHosts: string
  /** Ends it with everything it started. Safe to repeat. */
  close(): Promise<void>
}

/** A running server of {@link startSshServer}. */
export interface TestSshServer extends TestHost {
  /** Where commands start; removed at the end. */
  readonly home: string
  /** TCP connections accepted since the start. */
  readonly connections: number
  /** TCP connections that are open now. */
  readonly openConnections: number
  /** Requests to log in received since the start: 0 proves that a client sent nothing but its key exchange. */
  readonly logins: number
  /** Session channels opened since the start. */
  readonly sessions: number
  /** Commands received since the start, in order: what proves that nothing ran twice. */
  readonly execs: readonly string[]
  /** Breaks every open connection with a TCP reset. Commands go on, as under sshd. */
  dropAll(): void
}

/** In the environment of everything that a server of the kit starts. */
const MARKER = 'TESTKIT_SERVER'

/**
 * Starts an SSH server within this process, on loopback, that really runs commands as the user of this process.
 * Throws where a key cannot be read, the port is taken, or the address is not a loopback address.
 */
export async function startSshServer(options: SshServerOptions = {}): Promise<TestSshServer> {
  const client = makeKeyPair()
  const hostPems = options.hostKeys ?? [makeKeyPair().privateKey]
  const hostKeys = hostPems.map(publicHostKey)
  const home = options.env?.['HOME'] ?? (await mkdtemp(join(tmpdir(), 'remex-testkit-')))
  const marker = randomBytes(8).toString('hex')
  const counts: Counts = { logins: 0, sessions: 0, execs: [], processes: [] }
  const removeHome = async (): Promise<void> => {
    if (home !== options.env?.['HOME']) await rm(home, { recursive: true, force: true })
  }
  const listener = await listen(options, { hostPems, client, home, marker, counts }).catch(async (error: unknown) => {
    await removeHome()
    throw error
  })
  const close = once(async () => {
    await listener.close()
    for (const started of counts.processes) started.signal('KILL')
    // Those that left their group are found by their environment, where there is a /proc to find them in.
    if (counts.processes.length > 0) await endProcesses({ marker: `${MARKER}=${marker}` })
    await removeHome()
  })
  return {
    address: listener.host,
    port: listener.port,
    login: options.users?.[0]?.name ?? 'tester',
    privateKey: client.privateKey,
    hostKeys,
    knownHosts: knownHostsFor(listener, hostKeys),
    home,
    get connections() { return listener.accepted },
    get openConnections() { return listener.open.size },
    get logins() { return counts.logins },
    get sessions() { return counts.sessions },
    execs: counts.execs,
    dropAll: () => listener.resetAll(),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** The public half of a host's private key. Throws where it cannot be read. */
export function publicHostKey(pem: string): TestHostKey {
  const key = ssh2.utils.parseKey(pem)
  if (key instanceof Error) throw new Error('a host key cannot be read', { cause: key })
  const blob = key.getPublicSSH()
  return { type: key.type, blob, fingerprint: fingerprint(blob) }
}

/** Lines of known_hosts for a server that shows these keys. Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. */
export function knownHostsFor({ host, port }: { readonly host: string; readonly port: number }, keys: readonly HostKey[]): string {
  const name = port === 22 ? host : `[${host}]:${port}`
  return keys.map((key) => `${name} ${formatHostKey(key)}\n`).join('')
}

/** `action` once, however often it is called; later calls wait for the same end. */
export function once(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => (running ??= action())
}

interface Counts {
  logins: number
  sessions: number
  readonly execs: string[]
  readonly processes: ServedProcess[]
}

interface Made {
  readonly hostPems: readonly string[]
  readonly client: KeyPair
  readonly home: string
  readonly marker: string
  readonly counts: Counts
}

function connectionSettings(options: SshServerOptions, { client, home, marker, counts }: Made): ConnectionSettings {
  const { shell = '/bin/sh', fault, users = [{ name: 'tester', publicKeys: [client.publicKey] }] } = options
  // The key that is handed out opens every login, so that a test with logins of its own still has it.
  const logins = users.map((user) => ({ ...user, publicKeys: [...user.publicKeys, client.publicKey] }))
  return {
    checkLogin: loginChecker(logins),
    maxSessions: options.maxSessions ?? 10,
    delayMs: options.delayMs ?? 0,
    fault: isAuthenticationFault(fault) ? fault : undefined,
    onLogin: () => counts.logins++,
    onSession: () => counts.sessions++,
    session: {
      shell,
      home,
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: home, SHELL: shell, ...options.env, [MARKER]: marker },
      sftpRoot: options.sftpRoot ?? home,
      sftpServer: options.sftp === 'own' ? undefined : opensshSftpServer(),
      forceCommand: options.forceCommand,
      refuseSignals: options.refuseSignals ?? false,
      killOnDisconnect: options.killOnDisconnect ?? false,
      fault: isAuthenticationFault(fault) ? undefined : fault,
      onExec: (command) => counts.execs.push(command),
      onProcess: (started) => counts.processes.push(started),
    },
  }
}

function isAuthenticationFault(fault: SshServerOptions['fault']): fault is AuthenticationFault {
  return fault === 'rejects-authentication' || fault === 'closes-during-authentication'
}

/** The sockets are the kit's own: ssh2's server does not hand them out, and leaves TCP_NODELAY off. */
async function listen(options: SshServerOptions, made: Made): Promise<LoopbackServer> {
  const settings = connectionSettings(options, made)
  const server = new ssh2.Server({ hostKeys: [...made.hostPems], algorithms: options.algorithms })
  const listener = await listenOnLoopback((socket) => server.injectSocket(socket), options)
  server.on('connection', (connection, { port }) => {
    const socket = [...listener.open].find((open) => open.remotePort === port)
    connection.on('error', () => undefined)
    if (socket) serveConnection(connection, socket, settings)
  })
  return listener
}
