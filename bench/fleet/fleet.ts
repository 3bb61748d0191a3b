import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { findProgram, startDaemon, type Daemon, type Skipped } from '../../testkit/daemon.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { knownHostsFor } from '../../testkit/ssh-server.ts'
import { PARALLEL } from './parallel.ts'

/**
 * As many hosts as are asked for, each an address of this machine with a real sshd behind it. They share the port, the host
 * key, and the login, an ordinary user with /bin/sh where we are root: what differs between contenders is the contender.
 */
export interface Fleet extends AsyncDisposable {
  /** The first `count` hosts, and the files that contenders need for them. Starts what does not run yet. */
  squad(count: number): Promise<Squad>
}

/** Some hosts of a {@link Fleet}, as everybody needs to be told about them. */
export interface Squad {
  readonly count: number
  readonly addresses: readonly string[]
  readonly port: number
  readonly login: string
  readonly privateKeyPath: string
  readonly knownHostsPath: string
  /** One address on each line; Ansible takes it for an inventory. */
  readonly hostsPath: string
  /** For `ssh -F`: port, login, key, known hosts, and that an unknown one is refused. */
  readonly sshConfigPath: string
  /** The same, and connections stay open for the next call. */
  readonly masterConfigPath: string
  readonly ansibleConfigPath: string
  readonly remexConfigPath: string
  /** Of Remex. */
  readonly stateFolder: string
}

/** sshd takes no more lines of ListenAddress. */
const ADDRESSES_PER_SERVER = 16
const ADDRESSES_PER_NET = 250
/** Peers are to be slowed down by their work alone. */
const NO_THROTTLE = '2000:30:2000'

/** Makes a fleet whose files lie in `folder`, which is ours alone. Gives the reason where there can be none. */
export async function makeFleet(folder: string): Promise<Fleet | Skipped> {
  if (process.platform !== 'linux') return { skipped: 'many loopback addresses need Linux' }
  const first = await startOpensshServer({ postQuantum: true, maxStartups: NO_THROTTLE })
  if ('skipped' in first) return first
  const daemons: Daemon[] = []
  const squads = new Map<number, Promise<Squad>>()
  let before: Promise<unknown> = Promise.resolve()
  const make = async (count: number, ready: Promise<unknown>): Promise<Squad> => {
    // One after the other: each looks at which servers there are.
    await ready
    while (daemons.length * ADDRESSES_PER_SERVER < count) daemons.push(await startServer(first, daemons.length))
    return writeSquad(first, folder, count)
  }
  return {
    squad: (count) => {
      const squad = squads.get(count) ?? make(count, before)
      squads.set(count, squad)
      before = squad.catch(() => undefined)
      return squad
    },
    async [Symbol.asyncDispose]() {
      for (const daemon of daemons) await daemon.close()
      await first.close()
    },
  }
}

/** Starts one more sshd with the keys, the login and the settings of the first, for the next sixteen addresses. */
async function startServer(first: OpensshServer, index: number): Promise<Daemon> {
  const folder = dirname(first.privateKeyPath)
  const configPath = join(folder, `sshd_config_${index}`)
  const settings = (await readFile(join(folder, 'sshd_config'), 'utf8')).replaceAll(/^ListenAddress.*\n/gm, '')
  const listen = Array.from({ length: ADDRESSES_PER_SERVER }, (_, own) => `ListenAddress ${address(index * ADDRESSES_PER_SERVER + own)}:${first.port}\n`)
  await writeFile(configPath, listen.join('') + settings)
  return startDaemon({
    file: findProgram('sshd') ?? 'sshd',
    logPath: join(folder, `log_${index}`),
    // It says so once for each address; where one is taken it says so less often, and does not come up.
    listening: new RegExp(`(Server listening on [^]*){${ADDRESSES_PER_SERVER}}`),
    args: () => ['-D', '-e', '-f', configPath],
  })
}

/** Far from the addresses that tests listen on. */
function address(index: number): string {
  return `127.77.${Math.floor(index / ADDRESSES_PER_NET)}.${(index % ADDRESSES_PER_NET) + 1}`
}

async function writeSquad({ port, login, privateKeyPath, hostKeys }: OpensshServer, folder: string, count: number): Promise<Squad> {
  const own = join(folder, `hosts-${count}`)
  // Sockets of shared connections have short names only: 104 bytes with the directory.
  const masters = join(folder, 'm')
  await mkdir(own, { mode: 0o700 })
  await mkdir(masters, { recursive: true, mode: 0o700 })
  const addresses = Array.from({ length: count }, (_, index) => address(index))
  const knownHostsPath = await written(join(own, 'known_hosts'), addresses.map((host) => knownHostsFor({ host, port }, hostKeys)).join(''))
  const ssh = sshConfig({ port, login, privateKeyPath, knownHostsPath })
  const vms = Object.fromEntries(addresses.map((ip, index) => [`vm${index + 1}`, { ip, ssh_port: port, ssh_user: login, identity_file: privateKeyPath }]))
  const settings = { known_hosts_path: knownHostsPath, audit_log_path: join(own, 'audit'), max_parallel_commands: PARALLEL }
  return {
    count, addresses, port, login, privateKeyPath, knownHostsPath,
    hostsPath: await written(join(own, 'hosts'), addresses.map((host) => `${host}\n`).join('')),
    sshConfigPath: await written(join(own, 'ssh_config'), ssh),
    masterConfigPath: await written(join(own, 'ssh_config_master'), `${ssh}  ControlMaster auto\n  ControlPersist 3600\n  ControlPath ${masters}/%C\n`),
    ansibleConfigPath: await written(join(own, 'ansible.cfg'), ansibleConfig(join(own, 'ssh_config'), own)),
    remexConfigPath: await written(join(own, 'config.json'), JSON.stringify({ vms, remote_execution: settings })),
    stateFolder: join(own, 'state'),
  }
}

function sshConfig({ port, login, privateKeyPath, knownHostsPath }: Pick<Squad, 'port' | 'login' | 'privateKeyPath' | 'knownHostsPath'>): string {
  return [
    'Host *',
    `Port ${port}`,
    `User ${login}`,
    `IdentityFile ${privateKeyPath}`,
    'IdentitiesOnly yes',
    `UserKnownHostsFile ${knownHostsPath}`,
    'GlobalKnownHostsFile none',
    'StrictHostKeyChecking yes',
    'BatchMode yes',
    'LogLevel ERROR',
  ].join('\n  ') + '\n'
}

/** Without its shared connections, which would spare all rounds but the first their handshakes. */
function ansibleConfig(sshConfigPath: string, folder: string): string {
  const defaults = ['[defaults]', 'host_key_checking = True', `home = ${folder}/ansible`, `local_tmp = ${folder}/ansible/tmp`]
  return [...defaults, '[connection]', 'pipelining = True', '[ssh_connection]', `ssh_args = -F ${sshConfigPath}`, ''].join('\n')
}

async function written(path: string, text: string): Promise<string> {
  await writeFile(path, text, { mode: 0o600 })
  return path
}
