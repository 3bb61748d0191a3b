import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AuditRecord } from '../../src/audit/record.ts'
import { Remex } from '../../src/remex.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import type { TestHost } from '../../testkit/ssh-server.ts'

/** A Remex of its own, with a configuration, keys, known_hosts and a state directory in a temporary folder. */
export interface TestFleet extends AsyncDisposable {
  readonly remex: Remex
  readonly folder: string
  /** Where the audit log is. */
  readonly auditPath: string
  /** The configuration as a user would write it. */
  readonly config: Record<string, unknown>
  /** Another Remex on the same configuration, changed. */
  open(changes?: Changes): Promise<Remex>
  /** What the audit log has so far; none where there is no log. */
  records(): Promise<AuditRecord[]>
}

/** What differs from the plain configuration. */
export interface Changes {
  readonly vms?: Record<string, Record<string, unknown> | undefined>
  readonly settings?: Record<string, unknown>
  readonly policy?: unknown
}

/** What answers at an address. What never comes to a login has neither login nor keys, and needs none. */
type Answering = Pick<TestHost, 'address' | 'port'> & Partial<Pick<TestHost, 'login' | 'privateKey' | 'knownHosts'>>

/** A server, with another login or other known_hosts lines than its own. */
interface Altered {
  readonly server: Answering
  readonly login?: string
  readonly knownHosts?: string
}

/** Hosts of a fleet by id: the server behind each. */
export type Members = Record<string, Answering | Altered>

/** Makes a fleet of servers that run already. */
export async function fleetOf(members: Members, changes: Changes = {}): Promise<TestFleet> {
  const folder = await mkdtemp(join(tmpdir(), 'remex-fleet-'))
  const keys = join(folder, 'keys')
  await mkdir(keys, { mode: 0o700 })
  const vms: Record<string, Record<string, unknown>> = {}
  const known = new Set<string>()
  for (const [id, member] of Object.entries(members)) {
    const { address, port, login, privateKey, knownHosts } = entryOf(member)
    vms[id] = { ip: address, ssh_port: port, ssh_user: login, ...changes.vms?.[id] }
    known.add(knownHosts)
    await writeFile(join(keys, `id_ed25519_${id}`), privateKey, { mode: 0o600 })
  }
  const knownHosts = join(folder, 'known_hosts')
  const auditPath = join(folder, 'audit')
  await writeFile(knownHosts, [...known].join(''))
  const settings = { key_storage_path: keys, known_hosts_path: knownHosts, audit_log_path: auditPath, default_retry: 1, ...changes.settings }
  const config = { vms, remote_execution: settings, ...(changes.policy === undefined ? {} : { policy: changes.policy }) }
  const opened: Remex[] = []
  const open = async (more: Changes = {}): Promise<Remex> => {
    const changedVms = Object.fromEntries(Object.entries(vms).map(([id, vm]) => [id, { ...vm, ...more.vms?.[id] }]))
    const policy = more.policy ?? changes.policy
    const remex = await Remex.open({
      config: { vms: changedVms, remote_execution: { ...settings, ...more.settings }, ...(policy === undefined ? {} : { policy }) },
      user: 'tester',
      env: { PATH: process.env.PATH, REMEX_STATE_DIR: join(folder, 'state') },
    })
    opened.push(remex)
    return remex
  }
  return {
    remex: await open(),
    folder,
    auditPath,
    config,
    open,
    records: () => recordsIn(auditPath),
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((remex) => remex.close()))
      await rm(folder, { recursive: true })
    },
  }
}

function entryOf(member: Answering | Altered): Required<Answering> {
  const { server, ...own } = 'server' in member ? member : { server: member }
  return {
    address: server.address,
    port: server.port,
    login: server.login ?? 'tester',
    privateKey: server.privateKey ?? makeKeyPair().privateKey,
    knownHosts: server.knownHosts ?? '',
    ...own,
  }
}

async function recordsIn(directory: string): Promise<AuditRecord[]> {
  const text = await readFile(join(directory, 'audit.jsonl'), 'utf8').catch(() => '')
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as AuditRecord)
}
