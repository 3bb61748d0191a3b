import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Remex } from '../../src/remex.ts'
import { startNetwork, type TestNetwork } from '../../testkit/network.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { knownHostsFor } from '../../testkit/ssh-server.ts'

/** A real sshd on loopback, Remex configured for it as `vm01`, and how the machine's own `ssh` reaches it. */
export interface Place extends AsyncDisposable {
  readonly server: OpensshServer
  readonly configPath: string
  /** Arguments of `ssh` up to the command, `ssh` itself included. */
  readonly ssh: readonly [string, ...string[]]
  /** What `ssh`, `scp` and `sftp` need to know besides the login, the port included. */
  readonly sshOptions: readonly string[]
  /** `login@address`. */
  readonly destination: string
  /** Ours alone: configuration, audit log, state. */
  readonly folder: string
  open(): Promise<Remex>
}

/** How the way to the server is. */
export interface PlaceOptions {
  /** Delay in each direction; a round trip takes twice as long. Default: none, and nothing between. */
  readonly latencyMs?: number
}

/** Makes a place to measure in. Throws where there is no sshd or no ssh. */
export async function makePlace({ latencyMs }: PlaceOptions = {}): Promise<Place> {
  const server = await startOpensshServer({ postQuantum: true, maxSessions: 200 })
  if ('skipped' in server) throw new Error(`the benchmark needs a server: ${server.skipped}`)
  if (spawnSync('ssh', ['-V']).error) throw new Error('the benchmark needs ssh: it is not installed (Debian: openssh-client)')
  const network = latencyMs === undefined ? undefined : await startNetwork({ to: { host: server.address, port: server.port }, latencyMs })
  const folder = await mkdtemp(join(tmpdir(), 'remex-bench-'))
  const port = network?.port ?? server.port
  const knownHosts = network === undefined ? server.knownHostsPath : await writeKnownHosts(server, network, folder)
  const configPath = await writeConfig(server, { folder, port, knownHosts })
  const options = ['-F', 'none', '-i', server.privateKeyPath, '-o', `UserKnownHostsFile=${knownHosts}`, '-o', 'BatchMode=yes']
  const destination = `${server.login}@${server.address}`
  return {
    server,
    configPath,
    folder,
    destination,
    ssh: ['ssh', ...options, '-p', String(port), destination],
    sshOptions: [...options, '-o', `Port=${port}`],
    open: () => Remex.open({ config: configPath, env: { REMEX_STATE_DIR: join(folder, 'state') } }),
    async [Symbol.asyncDispose]() {
      await network?.close()
      await server.close()
      await rm(folder, { recursive: true })
    },
  }
}

async function writeKnownHosts({ address, hostKeys }: OpensshServer, { port }: TestNetwork, folder: string): Promise<string> {
  const path = join(folder, 'known_hosts')
  await writeFile(path, knownHostsFor({ host: address, port }, hostKeys))
  return path
}

async function writeConfig(server: OpensshServer, { folder, port, knownHosts }: { folder: string; port: number; knownHosts: string }): Promise<string> {
  const keys = join(folder, 'keys')
  await mkdir(keys, { mode: 0o700 })
  await writeFile(join(keys, 'id_ed25519_vm01'), server.privateKey, { mode: 0o600 })
  const path = join(folder, 'config.json')
  const settings = { key_storage_path: keys, known_hosts_path: knownHosts, audit_log_path: join(folder, 'audit') }
  const vm01 = { ip: server.address, ssh_port: port, ssh_user: server.login }
  await writeFile(path, JSON.stringify({ vms: { vm01 }, remote_execution: settings }))
  return path
}
