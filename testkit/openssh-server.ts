import { execFile, spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fingerprint } from '../src/core/host-key.ts'
import { findProgram, startDaemon, type Daemon, type Skipped } from './daemon.ts'
import type { KeyKind } from './keys.ts'
import { makeServerPlace, type ServerPlace } from './server-place.ts'
import { parsePublicKey } from './ssh-login.ts'
import { knownHostsFor, once, type TestHost, type TestHostKey } from './ssh-server.ts'
import { opensshSftpServer } from './ssh-session.ts'
import type { TestUser } from './test-user.ts'

const run = promisify(execFile)

/** How sshd is to be. */
export interface OpensshServerOptions {
  /** Kinds of host key to make. Default: `['ed25519']`. */
  readonly hostKeyKinds?: readonly KeyKind[]
  /** `internal` is sshd's own internal-sftp, `external` the sftp-server program. Default: `internal`. */
  readonly sftp?: 'internal' | 'external'
  /** Default: 10, as sshd. */
  readonly maxSessions?: number
  /** Default: `100:30:200`, so that throttling stays out of tests that are not about it. */
  readonly maxStartups?: string
  /** Whether it has post-quantum key exchange, of which each costs a tenth of a second. Default: false. */
  readonly postQuantum?: boolean
  /** More lines for sshd_config. They come first, and in sshd_config the first value counts. */
  readonly config?: readonly string[]
  /** More public keys that open every login, as authorized_keys has them. */
  readonly authorizedKeys?: readonly string[]
  /** More of the environment of sshd itself. Default: none. */
  readonly sshdEnv?: Readonly<Record<string, string>>
}

/** A real sshd on loopback. `login` is a temporary ordinary user with /bin/sh when we are root, else our own user. */
export interface OpensshServer extends TestHost {
  /** The client key as a file, for `ssh -i`. */
  readonly privateKeyPath: string
  /** `knownHosts` as a file, for `-o UserKnownHostsFile=`. */
  readonly knownHostsPath: string
  /** Whether it can serve a pty: an sshd that is not root cannot hand one over, and ends the connection. */
  readonly givesTerminals: boolean
  /** Process id of the sshd that listens. */
  readonly pid: number
  /** What sshd has logged so far. */
  log(): Promise<string>
  /** As root: another temporary user with this login shell, which the client key opens too; gone after `close`. Else undefined. */
  testUser(shell: string): Promise<TestUser | undefined>
  /** Lets a password open the login of one of the temporary users; sshd must be told to take passwords. */
  setPassword(login: string, password: string): Promise<void>
  /** Lets the client key open a login that this machine has already, as `root`. */
  authorize(login: string): Promise<void>
}

/**
 * Starts the machine's own sshd with a configuration, keys and users of its own.
 * Gives the reason where it is not installed. Throws with sshd's log where it does not come up.
 */
export async function startOpensshServer(options: OpensshServerOptions = {}): Promise<OpensshServer | Skipped> {
  const sshd = findProgram('sshd')
  if (sshd === undefined) return { skipped: 'sshd is not installed (Debian: openssh-server)' }
  const sftp = options.sftp === 'external' ? opensshSftpServer() : 'internal-sftp'
  if (sftp === undefined) return { skipped: 'sftp-server is not installed (Debian: openssh-sftp-server)' }
  const place = await makeServerPlace('sshd')
  try {
    return await start({ options, sshd, sftp, place })
  } catch (error) {
    await place.remove()
    throw error
  }
}

interface Plan {
  readonly options: OpensshServerOptions
  readonly sshd: string
  readonly sftp: string
  readonly place: ServerPlace
}

async function start(plan: Plan): Promise<OpensshServer> {
  const { options, place } = plan
  const authorize = async (login: string): Promise<void> => writeFile(join(place.directory, `${login}.keys`),
    [place.client.publicKey, ...(options.authorizedKeys ?? []), ''].join('\n'), { mode: 0o644 })
  const testUser = async (shell: string): Promise<TestUser | undefined> => {
    const user = await place.addUser(shell)
    if (user) await authorize(user.name)
    return user
  }
  const login = (await testUser('/bin/sh'))?.name ?? userInfo().username
  await authorize(login)
  const hostKeys = await makeHostKeys(place.directory, options.hostKeyKinds ?? ['ed25519'])
  const daemon = await startSshd(plan, hostKeys)
  const knownHosts = knownHostsFor({ host: '127.0.0.1', port: daemon.port }, hostKeys)
  const knownHostsPath = join(place.directory, 'known_hosts')
  await writeFile(knownHostsPath, knownHosts)
  const close = once(async () => {
    try {
      await daemon.close()
    } finally {
      await place.remove()
    }
  })
  return {
    address: '127.0.0.1', port: daemon.port, pid: daemon.pid, login, hostKeys, knownHosts, knownHostsPath,
    privateKey: place.client.privateKey, privateKeyPath: place.clientKeyPath,
    givesTerminals: process.getuid?.() === 0, log: () => daemon.log(), testUser, setPassword, authorize, close, [Symbol.asyncDispose]: close,
  }
}

async function setPassword(login: string, password: string): Promise<void> {
  if (!login.startsWith('remex-t')) throw new Error(`${login} is no temporary user`)
  const changing = run('chpasswd', [])
  changing.child.stdin?.end(`${login}:${password}\n`)
  await changing
}

interface HostKeyFile extends TestHostKey {
  readonly path: string
}

async function makeHostKeys(directory: string, kinds: readonly KeyKind[]): Promise<HostKeyFile[]> {
  return Promise.all(kinds.map(async (kind) => {
    const path = join(directory, `host_${kind}`)
    await run('ssh-keygen', ['-q', '-t', kind, '-N', '', '-C', 'testkit', '-f', path])
    const key = parsePublicKey(await readFile(`${path}.pub`, 'utf8'))
    const blob = key.getPublicSSH()
    return { path, type: key.type, blob, fingerprint: fingerprint(blob) }
  }))
}

async function startSshd(plan: Plan, hostKeys: readonly HostKeyFile[]): Promise<Daemon> {
  const { sshd, place, options: { sshdEnv: env = {} } } = plan
  // Its privilege separation wants this directory, which the system makes at boot only where the service is on.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  const configPath = join(place.directory, 'sshd_config')
  return startDaemon({
    file: sshd,
    logPath: join(place.directory, 'log'),
    listening: /Server listening on 127\.0\.0\.1 port/,
    marker: place.marker,
    env,
    args: async (port) => {
      await writeFile(configPath, configuration(plan, hostKeys, port))
      return ['-D', '-e', '-f', configPath]
    },
  })
}

function configuration({ options, sshd, sftp, place }: Plan, hostKeys: readonly HostKeyFile[], port: number): string {
  return [
    ...(options.config ?? []),
    `ListenAddress 127.0.0.1:${port}`,
    ...hostKeys.map((key) => `HostKey ${key.path}`),
    `AuthorizedKeysFile ${place.directory}/%u.keys`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'UseDNS no',
    'PrintMotd no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    `Subsystem sftp ${sftp}`,
    `SetEnv ${place.marker}`,
    ...(options.postQuantum === true ? [] : ['KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group16-sha512']),
    `MaxSessions ${options.maxSessions ?? 10}`,
    `MaxStartups ${options.maxStartups ?? '100:30:200'}`,
    ...(hasPenalties(sshd) ? ['PerSourcePenalties no'] : []),
    '',
  ].join('\n')
}

/** PerSourcePenalties came with OpenSSH 9.8; an older sshd takes the line for a mistake. */
function hasPenalties(sshd: string): boolean {
  // Older ones do not know -V and tell their version in the complaint.
  const [, major = '0', minor = '0'] = /OpenSSH_(\d+)\.(\d+)/.exec(spawnSync(sshd, ['-V'], { encoding: 'utf8' }).stderr) ?? []
  return Number(major) > 9 || (Number(major) === 9 && Number(minor) >= 8)
}
