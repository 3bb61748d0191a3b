import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Remex } from '../../src/remex.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'

/** Lines of an ssh_config file that know a server by this name, and log in with its client key. */
export function hostBlock(name: string, { address, port, login, privateKeyPath }: OpensshServer, more: readonly string[] = []): readonly string[] {
  return [`Host ${name}`, `  HostName ${address}`, `  Port ${port}`, `  User ${login}`, `  IdentityFile ${privateKeyPath}`, ...more.map((line) => `  ${line}`)]
}

/** How a fleet with settings of `ssh` is to be. */
export interface SshConfigPlan {
  /** Lines of the file, which is `ssh_config` in the folder. */
  readonly lines: (folder: string) => readonly string[]
  /** Keys of the one host, `vm01`. Default: it is known to the settings as `db`, and all else comes from them. */
  readonly vm01?: Readonly<Record<string, unknown>>
  readonly env?: Readonly<Record<string, string>>
  /** Of known_hosts. Default: the keys of the server. */
  readonly knownHosts?: string
}

/** A Remex that reaches a server by settings of `ssh` in a temporary file, and has no key of its own. */
export interface SshConfigFleet extends AsyncDisposable {
  readonly remex: Remex
  readonly folder: string
  readonly records: TestFleet['records']
}

/** Makes one. */
export async function sshConfigFleet(server: OpensshServer, plan: SshConfigPlan): Promise<SshConfigFleet> {
  const { lines, vm01 = { ip: 'db', ssh_config: true }, env = {}, knownHosts = server.knownHosts } = plan
  const fleet = await fleetOf({ vm01: { server, knownHosts } })
  const { folder, auditPath, records } = fleet
  const [path, none] = [join(folder, 'ssh_config'), join(folder, 'no-keys')]
  await mkdir(none, { mode: 0o700 })
  await writeFile(path, `${lines(folder).join('\n')}\n`, { mode: 0o600 })
  const settings = { ssh_config_path: path, key_storage_path: none, known_hosts_path: join(folder, 'known_hosts'), audit_log_path: auditPath, default_retry: 1 }
  const remex = await Remex.open({ config: { vms: { vm01 }, remote_execution: settings }, user: 'tester', env: { PATH: process.env.PATH, REMEX_STATE_DIR: join(folder, 'state'), ...env } })
  return {
    remex,
    folder,
    records,
    async [Symbol.asyncDispose]() {
      await remex.close()
      await fleet[Symbol.asyncDispose]()
    },
  }
}
