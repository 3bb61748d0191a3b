import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AuditRecord } from '../../src/audit/record.ts'
import { Secret } from '../../src/core/secret.ts'
import { Remex } from '../../src/remex.ts'
import type { Skipped } from '../../testkit/daemon.ts'
import { startOpensshServer, type OpensshServer, type OpensshServerOptions } from '../../testkit/openssh-server.ts'
import type { TestUser } from '../../testkit/test-user.ts'

/** The password of every login. */
export const PASSWORD = 'Pa5$ "word" \\ ü'

/** What differs from the plain place. */
export interface PlaceOptions extends OpensshServerOptions {
  readonly settings?: Readonly<Record<string, unknown>>
  readonly vms?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly env?: NodeJS.ProcessEnv
  readonly policy?: unknown
  /** Whether the host keys are known. Default: true. */
  readonly trusted?: boolean
}

/** A real sshd as it comes from the system: passwords, strict modes, keys in the homes; each host is a login of its own. */
export interface KeyPlace extends AsyncDisposable {
  readonly server: OpensshServer
  readonly folder: string
  readonly keys: string
  readonly remex: Remex
  readonly config: Readonly<Record<string, unknown>>
  user(id: string): TestUser
  /** What sshd reads. */
  authorizedKeys(id: string): Promise<string>
  records(): Promise<AuditRecord[]>
  /** Another Remex on the same files, as another process would have. */
  open(more?: Pick<PlaceOptions, 'settings' | 'vms' | 'env' | 'policy'>): Promise<Remex>
}

/** Why {@link keyPlace} cannot be made here; empty where it can. */
export const obstacle = process.getuid?.() === 0 ? '' : 'only root can make users with passwords'

/** The answers of somebody who knows the password and believes whoever answers. */
export const willing = { password: () => Promise.resolve(new Secret(PASSWORD)), trustHostKeys: () => Promise.resolve(true) }

/** Starts an sshd, and makes a login for each id. */
export async function keyPlace(ids: readonly string[], options: PlaceOptions = {}): Promise<KeyPlace> {
  const { settings, vms = {}, env, policy, trusted = true, config = [], ...rest } = options
  const lines = ['AuthorizedKeysFile .ssh/authorized_keys', 'StrictModes yes', 'PasswordAuthentication yes']
  const server = notSkipped(await startOpensshServer({ ...rest, config: [...config, ...lines] }))
  const users = new Map<string, TestUser>()
  for (const id of ids) users.set(id, await newUser(server))
  const folder = await mkdtemp(join(tmpdir(), 'remex-keys-'))
  const keys = join(folder, 'keys')
  await writeFile(join(folder, 'known_hosts'), trusted ? server.knownHosts : '')
  await mkdir(join(folder, 'home'))
  const hosts = Object.fromEntries(ids.map((id) => [id, { ip: server.address, ssh_port: server.port, ssh_user: users.get(id)?.name, ...vms[id] }]))
  const common = { key_storage_path: keys, known_hosts_path: join(folder, 'known_hosts'), audit_log_path: join(folder, 'audit'), default_retry: 1, ...settings }
  const whole = { vms: hosts, remote_execution: common, ...(policy === undefined ? {} : { policy }) }
  const opened: Remex[] = []
  const open = async (more: Pick<PlaceOptions, 'settings' | 'vms' | 'env' | 'policy'> = {}): Promise<Remex> => {
    const changed = Object.fromEntries(Object.entries(hosts).map(([id, vm]) => [id, { ...vm, ...more.vms?.[id] }]))
    const remex = await Remex.open({
      config: { vms: changed, remote_execution: { ...common, ...more.settings }, ...((more.policy ?? policy) === undefined ? {} : { policy: more.policy ?? policy }) },
      user: 'tester',
      env: { PATH: process.env.PATH, REMEX_STATE_DIR: join(folder, 'state'), ...env, ...more.env },
    })
    opened.push(remex)
    return remex
  }
  const user = (id: string): TestUser => {
    const found = users.get(id)
    if (!found) throw new Error(`no login for ${id}`)
    return found
  }
  return {
    server, folder, keys, config: whole, user, open,
    remex: await open(),
    authorizedKeys: (id) => readFile(join(user(id).home, '.ssh', 'authorized_keys'), 'utf8').catch(() => ''),
    records: async () => (await readFile(join(folder, 'audit', 'audit.jsonl'), 'utf8')).split('\n').filter(Boolean).map((line) => JSON.parse(line) as AuditRecord),
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((remex) => remex.close()))
      await server.close()
      await rm(folder, { recursive: true })
    },
  }
}

function notSkipped(started: OpensshServer | Skipped): OpensshServer {
  if ('skipped' in started) throw new Error(started.skipped)
  return started
}

async function newUser(server: OpensshServer): Promise<TestUser> {
  const user = await server.testUser('/bin/sh')
  if (!user) throw new Error(obstacle)
  await server.setPassword(user.name, PASSWORD)
  return user
}
