import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestSshServer } from '../../testkit/index.ts'

/** Four SSH servers on loopback, with all that Remex needs to use them, in one temporary directory. */
export interface DemoFleet {
  /** A directory of its own, 0700. */
  readonly directory: string
  readonly configPath: string
  /** The fingerprint of each host's key, by id: what an operator would read on the host itself. */
  readonly fingerprints: ReadonlyMap<string, string>
  /** Ends the servers and all they run, and removes the directory. */
  close(): Promise<void>
}

/** The hosts of the demo, with their roles in the original's laboratory. */
const HOSTS = [
  ['vm01', 'ingest-parser'],
  ['vm02', 'database'],
  ['vm03', 'analysis-jupyter'],
  ['vm04', 'orchestrator-n8n'],
] as const

/** Starts the fleet. Whatever fails, nothing is left behind. */
export async function startDemoFleet(): Promise<DemoFleet> {
  const directory = await mkdtemp(join(tmpdir(), 'remex-demo-'))
  const servers = new Map<string, TestSshServer>()
  // For whoever presses Ctrl-C twice and does not wait.
  const remove = (): void => rmSync(directory, { recursive: true, force: true })
  process.once('exit', remove)
  const close = async (): Promise<void> => {
    await Promise.allSettled([...servers.values()].map((server) => server.close()))
    await rm(directory, { recursive: true, force: true })
    process.off('exit', remove)
  }
  try {
    await mkdir(join(directory, 'keys'), { mode: 0o700 })
    for (const [id] of HOSTS) servers.set(id, await startHost(directory, id))
    const configPath = join(directory, 'config.yml')
    await writeFile(configPath, configText(directory, servers), { mode: 0o600 })
    const fingerprints = new Map([...servers].map(([id, { hostKeys }]) => [id, hostKeys[0]?.fingerprint ?? '']))
    return { directory, configPath, fingerprints, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function startHost(directory: string, id: string): Promise<TestSshServer> {
  const home = join(directory, id)
  await mkdir(home, { mode: 0o700 })
  // Only here, so that nothing else of the command line has a server in it.
  const { startSshServer } = await import('../../testkit/index.ts')
  const server = await startSshServer({ env: { HOME: home, REMEX_DEMO_HOST: id } })
  await writeFile(join(directory, 'keys', `id_ed25519_${id}`), server.privateKey, { mode: 0o600 })
  return server
}

function configText(directory: string, servers: ReadonlyMap<string, TestSshServer>): string {
  const hosts = HOSTS.map(([id, role]) => {
    const { address = '', port = 0, login = '' } = servers.get(id) ?? {}
    return `  ${id}: { ip: ${address}, ssh_port: ${port}, ssh_user: ${login}, role: ${role}, groups: [demo] }\n`
  })
  const path = (name: string): string => JSON.stringify(join(directory, name))
  return `# The fleet of remex demo: four SSH servers of its own on loopback.
vms:
${hosts.join('')}
remote_execution:
  key_storage_path: ${path('keys')}
  known_hosts_path: ${path('known_hosts')}
  audit_log_path: ${path('audit')}
`
}
