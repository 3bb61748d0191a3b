import { ALGORITHMS, hostKeyOrder, keyTypeOf, POST_QUANTUM_KEX } from '../algorithms.ts'
import type { ConnectTarget } from '../contract.ts'
import { NOBODY } from '../nobody.ts'
import { hostName } from './host-name.ts'
import { isSince, type SshProgram } from './program.ts'

/** How long a master that nobody is connected to stays, in seconds: it is ours alone, and ends with us. */
const ALONE_S = 2

/** What a start of `ssh` is for. `learn`: the host's key is only written down. `ask`: only what the server accepts is asked. */
export type Purpose = 'connect' | 'learn' | 'ask'

/** Names of files in the directory that ssh is started in. */
export interface PlaceNames {
  readonly knownHosts: string
  readonly control: string
  /** Undefined: ssh has its own ways to log in. */
  readonly agent: string | undefined
  /** A shell script for KnownHostsCommand; undefined: there is nothing that it could know. */
  readonly judge: string | undefined
  readonly certificates: readonly string[]
  /** A file for what it says, where programs that it starts speak on its standard error; undefined: that is its alone. */
  readonly log?: string | undefined
}

/** What a start of `ssh` is made of. */
export interface Start {
  readonly program: SshProgram
  readonly target: Omit<ConnectTarget, 'identities'>
  readonly purpose: Purpose
  /** Whether it is given a connection; else it finds one by its settings. */
  readonly isDialled: boolean
  /** Whether ssh may ask for a password, once. */
  readonly hasPassword: boolean
  readonly names: PlaceNames
  /** Whether certificates of hosts are asked for, before plain keys. */
  readonly takesCertificates: boolean
  /** Types of host keys to ask for first. */
  readonly knownTypes: readonly string[]
  /** Types of host keys not to ask for. */
  readonly refusedTypes: readonly string[]
}

/**
 * The arguments of `ssh`. What is given here counts before anything in a file; nothing of a file counts where the target does not
 * ask for it. Every option that could weaken a check, run something here, or ask a person is set. Source: ssh_config(5).
 */
export function sshArguments(start: Start): string[] {
  const { target, names, purpose } = start
  const { sshConfig, port, login, address } = target
  const options = Object.entries({ ...strict(start), ...ways(start), ...algorithms(start), ...life(start) })
  const settings = options.flatMap(([name, value]) => (value === undefined ? [] : ['-o', `${name}=${value}`]))
  const file = sshConfig === undefined ? ['-F', '/dev/null'] : sshConfig.file === undefined ? [] : ['-F', sshConfig.file]
  const certificates = names.certificates.flatMap((name) => ['-o', `CertificateFile=${name}`])
  const named = sshConfig ? hostName(address) : []
  const log = names.log === undefined ? [] : ['-E', names.log]
  return [...file, ...settings, ...certificates, ...named, ...log, '-v', '-f', '-N', '-S', names.control, '-p', String(port), '-l', purpose === 'learn' ? NOBODY : login, '--', sshConfig?.alias ?? address]
}

type Options = Readonly<Record<string, string | number | undefined>>

/** Who is trusted, and that nothing is asked or done besides. */
function strict({ program, target, purpose, hasPassword, names }: Start): Options {
  return {
    BatchMode: hasPassword ? 'no' : 'yes',
    // An ssh that cannot be told by a script writes down whatever key it is shown.
    StrictHostKeyChecking: purpose === 'learn' && names.judge === undefined ? 'no' : 'yes',
    UserKnownHostsFile: names.knownHosts,
    GlobalKnownHostsFile: '/dev/null',
    KnownHostsCommand: names.judge !== undefined ? `/bin/sh ${names.judge} %H %f %t %K` : hasJudge(program) ? 'none' : undefined,
    VerifyHostKeyDNS: 'no',
    CheckHostIP: 'no',
    HashKnownHosts: 'no',
    NoHostAuthenticationForLocalhost: 'no',
    UpdateHostKeys: target.wantsHostKeys === true && purpose === 'connect' ? 'yes' : 'no',
    FingerprintHash: 'sha256',
    VisualHostKey: 'no',
    RemoteCommand: isSince(program, [7, 6]) ? 'none' : undefined,
    PermitLocalCommand: 'no',
    ClearAllForwardings: 'yes',
    ForwardAgent: 'no',
    ForwardX11: 'no',
    Tunnel: 'no',
    RequestTTY: 'no',
    AddKeysToAgent: 'no',
  }
}

/** Whether this `ssh` can ask a script about a key. */
export function hasJudge(program: SshProgram): boolean {
  return isSince(program, [8, 5])
}

/** Whether this `ssh` can be told of a key by its fingerprint alone, and refuses one that is too weak by itself. */
export function canVouch(program: SshProgram): boolean {
  return isSince(program, [9, 1])
}

/** How it gets there and in. */
function ways({ target: { sshConfig }, purpose, isDialled, hasPassword, names: { agent } }: Start): Options {
  const isConnecting = purpose === 'connect'
  return {
    // Its standard input and output are the connection.
    ProxyCommand: isDialled ? '-' : undefined,
    ProxyUseFdpass: isDialled ? 'no' : undefined,
    PreferredAuthentications: isConnecting ? `${sshConfig ? 'gssapi-with-mic,hostbased,' : ''}publickey${hasPassword ? ',password,keyboard-interactive' : ''}` : 'none',
    PubkeyAuthentication: isConnecting ? 'yes' : 'no',
    PasswordAuthentication: hasPassword ? 'yes' : 'no',
    ChallengeResponseAuthentication: hasPassword ? 'yes' : 'no',
    NumberOfPasswordPrompts: 1,
    IdentityAgent: isConnecting ? agent : 'none',
    IdentityFile: sshConfig ? undefined : 'none',
    IdentitiesOnly: agent === undefined ? undefined : 'no',
  }
}

/** Allow-lists, as far as this `ssh` knows them; it would refuse a name that it does not know. */
function algorithms({ program, target, takesCertificates, knownTypes, refusedTypes }: Start): Options {
  const known = (names: readonly string[]): string => names.filter(program.knows).join(',')
  const plain = hostKeyOrder(knownTypes).filter((algorithm) => !refusedTypes.includes(keyTypeOf(algorithm)))
  const certified = takesCertificates ? plain.map(certificateOf) : []
  const signatures = [...ALGORITHMS.signature, 'sk-ssh-ed25519@openssh.com', 'sk-ecdsa-sha2-nistp256@openssh.com']
  return {
    KexAlgorithms: known(target.requirePostQuantum ? POST_QUANTUM_KEX : [...POST_QUANTUM_KEX, ...ALGORITHMS.kex]),
    HostKeyAlgorithms: known([...certified, ...plain]),
    Ciphers: known(ALGORITHMS.cipher),
    MACs: known(ALGORITHMS.mac),
    PubkeyAcceptedKeyTypes: known([...signatures.map(certificateOf), ...signatures]),
    CASignatureAlgorithms: isSince(program, [7, 9]) ? known(signatures) : undefined,
    RequiredRSASize: isSince(program, [9, 1]) ? 2048 : undefined,
    Compression: 'no',
  }
}

/** The name of an algorithm for certificates. Source: OpenSSH PROTOCOL.certkeys. */
const certificateOf = (algorithm: string): string => `${algorithm.replace(/@openssh\.com$/, '')}-cert-v01@openssh.com`

/** How long it may take, and live. */
function life({ target: { connectTimeoutMs, keepaliveIntervalMs } }: Start): Options {
  const seconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1000))
  return {
    ConnectionAttempts: 1,
    ConnectTimeout: Number.isFinite(connectTimeoutMs) ? seconds(connectTimeoutMs) : 'none',
    TCPKeepAlive: 'yes',
    ServerAliveInterval: Number.isFinite(keepaliveIntervalMs) ? seconds(keepaliveIntervalMs) : 0,
    ServerAliveCountMax: 3,
    ControlMaster: 'yes',
    ControlPersist: ALONE_S,
  }
}
