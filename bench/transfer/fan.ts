import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Skipped } from '../../testkit/daemon.ts'
import { freePort } from '../../testkit/loopback.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { knownHostsFor } from '../../testkit/ssh-server.ts'
import type { TestUser } from '../../testkit/test-user.ts'
import type { Contender, Row } from '../harness.ts'
import { makeFile } from '../lib/sources.ts'
import { wholeProcess, type ProcessCall } from '../lib/whole-process.ts'
import type { Workspace } from '../lib/workspace.ts'
import { missingProgram, type TransferEntry, type Wishes } from './entry.ts'
import { settle } from './place.ts'

const HOSTS = 20
/** sshd listens on 16 addresses at most. */
const HOSTS_PER_SERVER = 10
const SIZE_BYTES = 5_000_000

/** One file to many hosts: an address and a login of its own for each, ten of them served by one sshd. */
export const fanRow: TransferEntry = { id: 'fan-20', open }

interface Fan extends AsyncDisposable {
  readonly hosts: readonly FanHost[]
  /** For what the contenders need to know. */
  readonly folder: string
}

interface FanHost {
  readonly address: string
  readonly port: number
  readonly server: OpensshServer
  readonly user: TestUser
}

async function open({ disk }: Workspace, { rounds = 9 }: Wishes): Promise<(Row & AsyncDisposable) | Skipped> {
  const missing = missingProgram('clush', 'diff')
  if (missing) return { skipped: `${missing.skipped} (Debian: clustershell)` }
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return { skipped: 'an address and a login for each host need Linux and root' }
  const fan = await startFan(await disk.directory())
  const source = await disk.once(`file-${SIZE_BYTES}`, (path) => makeFile(path, SIZE_BYTES))
  const [clush, remex] = [await clushCall(fan, source), await remexCall(fan, source)]
  return {
    id: 'fan-20',
    title: `A file of ${SIZE_BYTES / 1e6} MB to ${HOSTS} hosts, against \`clush --copy\` (all on this machine, its processors do the work of all)`,
    unit: 'ms',
    warmUps: 1,
    rounds,
    goal: { contender: 'remex put', of: 'ratio', atMost: 0.4 },
    contenders: [spreader(fan, source, { name: 'clush --copy', callTo: clush }), spreader(fan, source, { name: 'remex put', callTo: remex })],
    [Symbol.asyncDispose]: () => fan[Symbol.asyncDispose](),
  }
}

async function startFan(folder: string): Promise<Fan> {
  const hosts: FanHost[] = []
  const servers: OpensshServer[] = []
  const close = async (): Promise<void> => {
    for (const server of servers) await server.close()
  }
  try {
    while (hosts.length < HOSTS) hosts.push(...(await startServer(hosts.length, servers)))
    return { hosts, folder, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Starts a server that listens on the next ten addresses; it is in `servers` as soon as it runs. */
async function startServer(first: number, servers: OpensshServer[]): Promise<FanHost[]> {
  const port = await freePort()
  const addresses = Array.from({ length: HOSTS_PER_SERVER }, (_, index) => `127.0.1.${first + index + 1}`)
  const server = await startOpensshServer({ postQuantum: true, config: addresses.map((address) => `ListenAddress ${address}:${port}`), maxSessions: 200 })
  if ('skipped' in server) throw new Error(`the benchmark needs a server: ${server.skipped}`)
  servers.push(server)
  const hosts: FanHost[] = []
  for (const address of addresses) {
    const user = await server.testUser('/bin/sh')
    if (user === undefined) throw new Error('no user can be made: useradd is not installed')
    hosts.push({ address, port, server, user })
  }
  return hosts
}

/** Gives the call that sends the file to this name in every home. */
type CallTo = (name: string) => ProcessCall

async function clushCall({ hosts, folder }: Fan, source: string): Promise<CallTo> {
  const knownHosts = join(folder, 'known_hosts')
  await writeFile(knownHosts, hosts.map(({ address, port, server }) => knownHostsFor({ host: address, port }, server.hostKeys)).join(''))
  const blocks = hosts.map(({ address, port, server, user }) => `Host ${address}\n  Port ${port}\n  User ${user.name}\n  IdentityFile ${server.privateKeyPath}\n`)
  const sshConfig = join(folder, 'ssh_config')
  await writeFile(sshConfig, [...blocks, `Host *\n  UserKnownHostsFile ${knownHosts}\n  BatchMode yes\n`].join(''))
  return (name) => ({ argv: ['clush', '-q', '-S', '-w', `127.0.1.[1-${HOSTS}]`, '-o', `-F ${sshConfig}`, '--copy', source, '--dest', name] })
}

async function remexCall({ hosts, folder }: Fan, source: string): Promise<CallTo> {
  const vms = Object.fromEntries(hosts.map((host, index) => [`vm${index + 1}`, hostEntry(host)]))
  const config = join(folder, 'config.json')
  await writeFile(config, JSON.stringify({ vms, remote_execution: { audit_log_path: join(folder, 'audit') } }))
  const env = { ...process.env, REMEX_STATE_DIR: join(folder, 'state') }
  return (name) => ({ argv: [process.execPath, 'dist/cli.cjs', 'put', 'all', source, name, '--quiet', '--config', config], env })
}

function hostEntry({ address, port, server, user }: FanHost): Readonly<Record<string, unknown>> {
  return { ip: address, ssh_port: port, ssh_user: user.name, identity_file: server.privateKeyPath, host_key: server.hostKeys.map(({ fingerprint }) => fingerprint) }
}

function spreader(fan: Fan, source: string, { name, callTo }: { name: string; callTo: CallTo }): Contender {
  let count = 0
  return {
    name,
    async run() {
      const target = `${name.replaceAll(/\W+/g, '-')}-${++count}`
      await settle(source)
      const { wallMs } = await wholeProcess(callTo(target))
      for (const { user } of fan.hosts) await wholeProcess({ argv: ['diff', '-q', source, join(user.home, target)] })
      return wallMs
    },
  }
}
