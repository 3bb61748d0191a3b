import type { Duplex, Readable, Writable } from 'node:stream'
import type { RemexError } from '../core/errors.ts'
import type { HostKey } from '../core/host-key.ts'
import type { Identity } from '../core/identity.ts'

/** How a remote process ended, as the server told it. `lost`: the channel closed without a word about it. */
export type ChannelExit =
  | { readonly kind: 'exited'; readonly exitCode: number }
  | { readonly kind: 'signaled'; readonly signal: string }
  | { readonly kind: 'lost' }

/** One stream pair to one remote process or subsystem. Nothing here rejects without being asked. */
export interface Channel {
  /** Backpressure follows the SSH window; ending it sends EOF. Writing after the end is discarded in silence. */
  readonly stdin: Writable
  /** Unread data holds the SSH window closed: memory stays bounded. Ends at the server's EOF or when the connection breaks. */
  readonly stdout: Readable
  readonly stderr: Readable
  /** Whether the server has said that no more output follows. Where the streams have ended without it, the connection broke, and output is missing. */
  readonly isOutputWhole: boolean
  /** Settles when the exit is known, or with `lost` when the channel closes without one. Never rejects. Output may still follow. */
  readonly exit: Promise<ChannelExit>
  /** Settles when the channel is closed on both sides, or its connection is gone. Never rejects. */
  readonly closed: Promise<void>
  /** Asks the server to signal the process (`TERM`, `KILL`). Servers may ignore it; OpenSSH does for root logins. */
  signal(name: string): void
  /** Closes our side. Does not end the process. Safe to repeat. */
  close(): void
}

/** The key by which a host proved itself. */
export interface ProvedHostKey {
  /** Of the plain key, also where it came in a certificate: `ssh-ed25519`. */
  readonly type: string
  /** Of the plain key, `SHA256:…`. */
  readonly fingerprint: string
  /** The plain key; undefined where it came in a certificate. */
  readonly blob?: Buffer
  /** The authority whose certificate the host showed, `SHA256:…`; undefined where the key itself is known. */
  readonly authority?: string
}

/** What was negotiated; goes into the audit record. */
export interface ConnectionInfo {
  /** `ssh2` or `openssh`. */
  readonly engine: string
  /** Why it is this engine: the setting or the fact that asked for it. */
  readonly engineReason: string
  readonly hostKey: ProvedHostKey
  /** Key exchange method, e.g. `curve25519-sha256`. */
  readonly kex: string
  /** Cipher, client to server. */
  readonly cipher: string
  /** MAC, client to server; empty for a cipher that authenticates itself. */
  readonly mac: string
  /** Whether the key exchange withstands quantum computers: it does; it does not, but the server has one that would; the server has none. */
  readonly postQuantum: 'used' | 'offered' | 'none'
  /** The server's identification, `SSH-2.0-OpenSSH_9.2`; as the server sent it, so untrusted. */
  readonly serverVersion: string
}

/** A pty for an exec channel. */
export interface PtyOptions {
  /** Default: `xterm-256color`. */
  readonly term?: string
  /** Default: 80. */
  readonly columns?: number
  /** Default: 24. */
  readonly rows?: number
  /** Encoded terminal modes by name (`ECHO`, `ICANON`). Source: RFC 4254 section 8. Default: the server's. */
  readonly modes?: Readonly<Record<string, number>>
}

/** One authenticated connection to a host that proved itself. */
export interface Connection {
  readonly info: ConnectionInfo
  /** Settles when the connection is gone: with the cause, or null when we closed it. Never rejects. */
  readonly closed: Promise<RemexError | null>
  /** True from the moment the connection cannot open channels any more. */
  readonly isClosed: boolean
  /**
   * Starts `command` on a new channel; resolves when the server has accepted it.
   * Rejects with `CHANNEL_REFUSED` when the server opens no channel (the command was not sent),
   * and with `CONNECTION_LOST` (`mayHaveRun` says whether the request had been sent) when the connection breaks.
   */
  exec(command: string, options?: { readonly pty?: PtyOptions }): Promise<Channel>
  /** Starts a subsystem (`sftp`) on a new channel. Rejects as `exec` does; `CHANNEL_REFUSED` also when the server has no such subsystem. */
  subsystem(name: string): Promise<Channel>
  /**
   * The host keys that the server announces to those who have logged in and proves to hold, weak ones left out; with `ssh2` all of
   * them, with `openssh` those that were not known, and those that were and still are. Waits up to 5 s. Empty where it announces
   * none, and where the target did not set `wantsHostKeys`. Source: OpenSSH PROTOCOL, section 2.5.
   */
  provenHostKeys(): Promise<readonly HostKey[]>
  /** A stream to `address:port` as the host sees it (`direct-tcpip`), for a jump. Rejects with `UNREACHABLE`, or as `exec` does. */
  forward(address: string, port: number): Promise<Duplex>
  /** Closes it in order. Channels that are open end as `lost`. Safe to repeat. */
  close(): void
}

/** A host, and the way to it. */
export interface Route {
  /** The host's id, for messages. */
  readonly vmId: string
  /** Name or IP address, without brackets. */
  readonly address: string
  readonly port: number
  /** Bounds everything from the TCP connect to the end of authentication. */
  readonly connectTimeoutMs: number
  /** Opens a stream to the host in place of a TCP connection: a jump. Called once for each attempt. */
  readonly open?: (() => Promise<Duplex>) | undefined
  /** Whether a key exchange that does not withstand quantum computers is refused. Only `openssh` has one that does. */
  readonly requirePostQuantum: boolean
  /** What the user's own settings of `ssh` add; `openssh` alone knows them. Undefined: they do not count. */
  readonly sshConfig?: SshConfigUse | undefined
}

/** How the settings of `ssh` are used for a host. */
export interface SshConfigUse {
  /** Undefined: the user's own file, and the system's. */
  readonly file: string | undefined
  /** The name by which they know the host. */
  readonly alias: string
  /** The name under which its keys are known, where that is not its address. */
  readonly hostKeyAlias?: string | undefined
  /** Whether they lead there through something else: ProxyJump, ProxyCommand. */
  readonly isProxied: boolean
}

/** What a connection needs to know. All of it is set by the session; nothing has a default here. */
export interface ConnectTarget extends Route {
  readonly login: string
  /** Why this engine serves the host, for {@link ConnectionInfo}. */
  readonly engineReason: string
  /** Tried in order. */
  readonly identities: readonly Identity[]
  /** Judges the host key before authentication. It returns for a trusted key and throws a `HOST_KEY_…` error for any other. */
  readonly verifyHostKey: (key: HostKey) => void
  /** The keys that are known for this host: algorithms of their types are offered first. Empty where none is known. */
  readonly knownHostKeys: readonly HostKey[]
  /** Fingerprints (`SHA256:…`) of keys that are trusted too and of which no more is known. */
  readonly knownFingerprints: readonly string[]
  /** Keys of authorities that may vouch for the host. Only `openssh` reads certificates. */
  readonly certAuthorities: readonly HostKey[]
  /** Keys, of hosts and of authorities, that are never to be trusted for this host. */
  readonly revokedHostKeys: readonly HostKey[]
  /** A server that misses three of these is taken as gone; `openssh` counts in whole seconds. `Infinity` turns it off. */
  readonly keepaliveIntervalMs: number
  /** Whether the host is asked for all its keys after the login. Default: false. */
  readonly wantsHostKeys?: boolean
}

/** A user's key. */
export interface KeyPair {
  /** The private half, as a file in OpenSSH format has it; not encrypted. */
  readonly privateKey: string
  /** One line, as `authorized_keys` has it: type, base64, comment. */
  readonly publicKey: string
}

/** An SSH implementation. Held to `test/contract/`. */
export interface Engine {
  readonly name: 'ssh2' | 'openssh'
  /**
   * Connects, checks the host key, authenticates.
   * Rejects with `UNREACHABLE`, `THROTTLED`, `CONNECT_TIMEOUT`, `HANDSHAKE_FAILED`, `HOST_KEY_…`, `AUTH_FAILED`,
   * `KEY_NOT_FOUND` (no identities), `KEY_UNUSABLE` or `CANCELLED` (the signal aborted), all with `vmId` and with `mayHaveRun` false.
   */
  connect(target: ConnectTarget, signal?: AbortSignal): Promise<Connection>
  /** All host keys that the server at this address offers, without logging in. For enrolment; proves nothing by itself. */
  fetchHostKeys(target: Route): Promise<readonly HostKey[]>
  /**
   * What the server accepts as proof of who logs in (`publickey`, `password`, …), after it has proved itself; `['none']` where it lets
   * in whoever asks. Nothing is tried that could count as a failed login. Rejects as `connect` does.
   */
  loginMethods(target: Omit<ConnectTarget, 'identities'>, signal?: AbortSignal): Promise<readonly string[]>
}
