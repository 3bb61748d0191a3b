import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Remex } from '../../src/remex.ts'
import type { TestHost } from '../../testkit/ssh-server.ts'

/** A Remex of its own, with a configuration, keys, known_hosts and a state directory in a temporary folder. */
export interface TestFleet extends AsyncDisposable {
  readonly remex: Remex
  readonly folder: string
  /** The configuration as a user would write it. */
  readonly config: Record<string, unknown>
  /** Another Remex on the same configuration, changed. */
  open(changes?: Changes): Promise<Remex>
}

/** What differs from the plain configuration. */
export interface Changes {
  readonly vms?: Record<string, Record<string, unknown> | undefined>
  readonly settings?: Record<string, unknown>
  readonly policy?: unknown
}

/** Hosts of a fleet by id: the server behind each, and another login for it. */
export type Members = Record<string, TestHost | { readonly server: TestHost; readonly login: string }>

/** Makes a fleet of servers that run already. */
export async function fleetOf(members: Members, changes: Changes = {}): Promise<TestFleet> {
  const folder = await mkdtemp(join(tmpdir(), 'remex-fleet-'))
  const keys = join(folder, 'keys')
  await mkdir(keys, { mode: 0o700 })
  const vms: Record<string, Record<string, unknown>> = {}
  const known = new Set<string>()
  for (const [id, member] of Object.entries(members)) {
    const { server, login } = 'server' in member ? member : { server: member, login: member.login }
    vms[id] = { ip: server.address, ssh_port: server.port, ssh_user: login, ...changes.vms?.[id] }
    known.add(server.knownHosts)
    await writeFile(join(keys, `id_ed25519_${id}`), server.privateKey, { mode: 0o600 })
  }
  const knownHosts = join(folder, 'known_hosts')
  await writeFile(knownHosts, [...known].join(''))
  const settings = { key_storage_path: keys, known_hosts_path: knownHosts, audit_log_path: join(folder, 'audit'), default_retry: 1, ...changes.settings }
  const config = { vms, remote_execution: settings, ...(changes.policy === undefined ? {} : { policy: changes.policy }) }
  const opened: Remex[] = []
  const open = async (more: Changes = {}): Promise<Remex> => {
    const changedVms = Object.fromEntries(Object.entries(vms).map(([id, vm]) => [id, { ...vm, ...more.vms?.[id] }]))
    const remex = await Remex.open({
      config: { ...config, vms: changedVms, remote_execution: { ...settings, ...more.settings } },
      user: 'tester',
      env: { PATH: process.env.PATH },
    })
    opened.push(remex)
    return remex
  }
  return {
    remex: await open(),
    folder,
    config,
    open,
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((remex) => remex.close()))
      await rm(folder, { recursive: true })
    },
  }
}
