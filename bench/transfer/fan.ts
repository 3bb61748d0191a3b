import { mkdir, writeFile } from 'node:fs/promises'
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
const SIZE_BYTES = 5_000_000

/** One file to many hosts: an address and a login of its own for each, all served by one sshd. */
export const fanRow: TransferEntry = { id: 'fan-20', open }

interface Fan {
  readonly server: OpensshServer
  readonly port: number
  /** One for each address. */
  readonly users: readonly TestUser[]
  /** For what the contenders need to know. */
  readonly folder: string
}

const addressOf = (index: number): string => `127.0.1.${index + 1}`

async function open({ disk }: Workspace, { rounds = 9 }: Wishes): Promise<(Row & AsyncDisposable) | Skipped> {
  const missing = missingProgram('clush', 'diff')
  if (missing) return { skipped: `${missing.skipped} (Debian: clustershell)` }
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return { skipped: 'an address and a login for each host need Linux and root' }
  const fan = await startFan(await disk.directory())
  if ('skipped' in fan) return fan
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
    [Symbol.asyncDispose]: () => fan.server.close(),
  }
}

async function startFan(folder: string): Promise<Fan | Skipped> {
  const port = await freePort()
  const config = Array.from({ length: HOSTS }, (_, index) => `ListenAddress ${addressOf(index)}:${port}`)
  const server = await startOpensshServer({ config, maxSessions: 200 })
  if ('skipped' in server) return server
  const users: TestUser[] = []
  try {
    while (users.length < HOSTS) {
      const user = await server.testUser('/bin/sh')
      if (user === undefined) throw new Error('no user can be made: useradd is not installed')
      users.push(user)
    }
  } catch (error) {
    await server.close()
    throw error
  }
  return { server, port, users, folder }
}

/** Gives the call that sends the file to this name in every home. */
type CallTo = (name: string) => ProcessCall

async function clushCall(fan: Fan, source: string): Promise<CallTo> {
  const { server, port, users, folder } = fan
  const knownHosts = join(folder, 'known_hosts')
  await writeFile(knownHosts, users.map((_, index) => knownHostsFor({ host: addressOf(index), port }, server.hostKeys)).join(''))
  const shared = [`  Port ${port}`, `  IdentityFile ${server.privateKeyPath}`, `  UserKnownHostsFile ${knownHosts}`, '  BatchMode yes']
  const sshConfig = join(folder, 'ssh_config')
  await writeFile(sshConfig, [...users.map(({ name }, index) => `Host ${addressOf(index)}\n  User ${name}`), 'Host *', ...shared, ''].join('\n'))
  return (name) => ({ argv: ['clush', '-q', '-S', '-w', `127.0.1.[1-${HOSTS}]`, '-o', `-F ${sshConfig}`, '--copy', source, '--dest', name] })
}

async function remexCall(fan: Fan, source: string): Promise<CallTo> {
  const { server, users, folder } = fan
  const vms = Object.fromEntries(users.map(({ name }, index) => [`vm${index + 1}`, hostEntry(fan, addressOf(index), name)]))
  const config = join(folder, 'config.json')
  await mkdir(join(folder, 'state'), { mode: 0o700 })
  await writeFile(config, JSON.stringify({ vms, remote_execution: { audit_log_path: join(folder, 'audit'), known_hosts_path: server.knownHostsPath } }))
  const env = { ...process.env, REMEX_STATE_DIR: join(folder, 'state') }
  return (name) => ({ argv: [process.execPath, 'dist/cli.cjs', 'put', 'all', source, name, '--quiet', '--config', config], env })
}

function hostEntry({ server, port }: Fan, ip: string, login: string): Readonly<Record<string, unknown>> {
  return { ip, ssh_port: port, ssh_user: login, identity_file: server.privateKeyPath, host_key: server.hostKeys.map(({ fingerprint }) => fingerprint) }
}

function spreader(fan: Fan, source: string, { name, callTo }: { name: string; callTo: CallTo }): Contender {
  let count = 0
  return {
    name,
    async run() {
      const target = `${name.replaceAll(/\W+/g, '-')}-${++count}`
      await settle(source)
      const { wallMs } = await wholeProcess(callTo(target))
      for (const { home } of fan.users) await wholeProcess({ argv: ['diff', '-q', source, join(home, target)] })
      return wallMs
    },
  }
}
