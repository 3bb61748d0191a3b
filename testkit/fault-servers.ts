import { once } from 'node:events'
import { connect } from 'node:net'
import type { Algorithms } from 'ssh2'
import { formatHostKey } from '../src/core/host-key.ts'
import { makeKeyPair } from './keys.ts'
import { listenOnLoopback, type LoopbackServer } from './loopback.ts'
import { knownHostsFor, publicHostKey, startSshServer, type SshServerOptions, type TestSshServer } from './ssh-server.ts'

/** Something that listens where an SSH server is expected, and never becomes one. */
export interface FaultServer extends AsyncDisposable {
  /** 127.0.0.1. */
  readonly address: string
  readonly port: number
  /** TCP connections accepted since the start. */
  readonly connections: number
  /** Safe to repeat. */
  close(): Promise<void>
}

/** A server that works, with known_hosts text that does not let it be trusted. */
export interface DistrustedServer extends TestSshServer {
  /** What a client's known_hosts says of it. */
  readonly staleKnownHosts: string
}

/** Accepts the TCP connection and says nothing, for ever. */
export async function silentAfterAccept(): Promise<FaultServer> {
  return faultServer(await listenOnLoopback((socket) => socket.resume()))
}

/** Accepts and closes before a word is said: how sshd throttles (MaxStartups, PerSourcePenalties). */
export async function closesBeforeBanner(): Promise<FaultServer> {
  return faultServer(await listenOnLoopback((socket) => void socket.end().resume()))
}

/** Says something that no SSH server says, and then nothing. Default: `SSH-garbage`. */
export async function sendsGarbageBanner(banner: string | Uint8Array = 'SSH-garbage\r\n'): Promise<FaultServer> {
  return faultServer(await listenOnLoopback((socket) => void socket.resume().write(banner)))
}

/** A port on which nobody listens, and nobody else can while this is held. */
export async function refusesConnection(): Promise<FaultServer> {
  const other = await listenOnLoopback((socket) => socket.resume())
  // A port that serves as the local end of a connection cannot be listened on.
  const holder = connect(other.port, other.host)
  holder.on('error', () => undefined)
  await once(holder, 'connect')
  const close = async (): Promise<void> => {
    holder.destroy()
    await other.close()
  }
  return { address: other.host, port: holder.localPort ?? 0, connections: 0, close, [Symbol.asyncDispose]: close }
}

/** Closes the connection when the client tries to log in. */
export function closesDuringAuthentication(options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, fault: 'closes-during-authentication' })
}

/** Takes no login at all. */
export function rejectsAuthentication(options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, fault: 'rejects-authentication' })
}

/** Resets the connection when a command has begun to run: at its first output or its end, which the client never hears of. */
export function dropsAfterExecStarted(options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, fault: 'drops-after-exec-started' })
}

/** Resets the connection when it receives a command. It does not run it, which the client cannot know. */
export function dropsBeforeExecReply(options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, fault: 'drops-before-exec-reply' })
}

/** Opens session channels and never answers when a command is sent on one. */
export function neverReplies(options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, fault: 'never-replies' })
}

/** Runs a command and reads nothing more from the connection, so that input and requests pile up. */
export function stopsReading(options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, fault: 'stops-reading' })
}

/** Every command writes to standard output without end. */
export function floods(options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, forceCommand: 'exec yes "$SSH_ORIGINAL_COMMAND"' })
}

/** Refuses the eleventh session on a connection, as sshd with its default MaxSessions does. */
export function refusesEleventhSession(options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, maxSessions: 10 })
}

/** Takes this long to answer each login and each opening of a session. */
export function delays(delayMs: number, options?: SshServerOptions): Promise<TestSshServer> {
  return startSshServer({ ...options, delayMs })
}

/** Offers SHA-1 and CBC and nothing else: in all categories, or in the one that is named. */
export function offersOnlyWeakAlgorithms(category?: keyof typeof WEAK): Promise<TestSshServer> {
  const algorithms: Algorithms = category === undefined ? WEAK : { [category]: WEAK[category] }
  return startSshServer({ hostKeys: [makeKeyPair('rsa').privateKey], algorithms })
}

const WEAK = {
  serverHostKey: ['ssh-rsa'],
  kex: ['diffie-hellman-group14-sha1'],
  cipher: ['aes128-cbc'],
  hmac: ['hmac-sha1'],
} satisfies Algorithms

/** Shows an RSA host key of 1024 bits. */
export function rsa1024HostKey(): Promise<TestSshServer> {
  return startSshServer({ hostKeys: [makeKeyPair('rsa', { bits: 1024 }).privateKey] })
}

/** Shows another host key, of the same type, than the one that known_hosts has. */
export async function changedHostKey(options?: SshServerOptions): Promise<DistrustedServer> {
  const server = await startSshServer(options)
  const former = publicHostKey(makeKeyPair().privateKey)
  return Object.assign(server, { staleKnownHosts: knownHostsFor({ host: server.address, port: server.port }, [former]) })
}

/** Shows a host key that known_hosts lists as trusted and, after that, as revoked. */
export async function revokedHostKey(options?: SshServerOptions): Promise<DistrustedServer> {
  const server = await startSshServer(options)
  const revoked = server.hostKeys.map((key) => `@revoked * ${formatHostKey(key)}\n`).join('')
  return Object.assign(server, { staleKnownHosts: server.knownHosts + revoked })
}

function faultServer(server: LoopbackServer): FaultServer {
  return {
    address: server.host,
    port: server.port,
    get connections() { return server.accepted },
    close: () => server.close(),
    [Symbol.asyncDispose]: () => server.close(),
  }
}
