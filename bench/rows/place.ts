import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Remex } from '../../src/remex.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'

/** A real sshd on loopback, Remex configured for it as `vm01`, and how the machine's own `ssh` reaches it. */
export interface Place extends AsyncDisposable {
  readonly server: OpensshServer
  readonly configPath: string
  /** Arguments of `ssh` up to the command, `ssh` itself included. */
  readonly ssh: readonly [string, ...string[]]
  readonly folder: string
  open(): Promise<Remex>
}

/** Makes a place to measure in. Throws where there is no sshd or no ssh. */
export async function makePlace(): Promise<Place> {
  const server = await startOpensshServer({ maxSessions: 200 })
  if ('skipped' in server) throw new Error(`the benchmark needs a server: ${server.skipped}`)
  if (spawnSync('ssh', ['-V']).error) throw new Error('the benchmark needs ssh: it is not installed (Debian: openssh-client)')
  const folder = await mkdtemp(join(tmpdir(), 'remex-bench-'))
  const configPath = await writeConfig(server, folder)
  const options = ['-F', 'none', '-i', server.privateKeyPath, '-o', `UserKnownHostsFile=${server.knownHostsPath}`, '-o', 'BatchMode=yes']
  return {
    server,
    configPath,
    folder,
    ssh: ['ssh', ...options, '-p', String(server.port), `${server.login}@${server.address}`],
    open: () => Remex.open({ config: configPath, env: { REMEX_STATE_DIR: join(folder, 'state') } }),
    async [Symbol.asyncDispose]() {
      await server.close()
      await rm(folder, { recursive: true })
    },
  }
}

async function writeConfig(server: OpensshServer, folder: string): Promise<string> {
  const keys = join(folder, 'keys')
  await mkdir(keys, { mode: 0o700 })
  await writeFile(join(keys, 'id_ed25519_vm01'), server.privateKey, { mode: 0o600 })
  const path = join(folder, 'config.json')
  const settings = { key_storage_path: keys, known_hosts_path: server.knownHostsPath, audit_log_path: join(folder, 'audit') }
  const vm01 = { ip: server.address, ssh_port: server.port, ssh_user: server.login }
  await writeFile(path, JSON.stringify({ vms: { vm01 }, remote_execution: settings }))
  return path
}
