import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { changedHostKey, dropsAfterExecStarted, refusesConnection, silentAfterAccept } from '../../testkit/fault-servers.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import type { TestHost } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, type Ended } from '../cli/workshop.ts'

const CLI = join(import.meta.dirname, '..', '..', 'dist', 'cli.cjs')
const started = await startOpensshServer({ maxStartups: '10:30:100', maxSessions: 10 })
const server = 'skipped' in started ? undefined : started
const reason = 'skipped' in started ? ` (skipped: ${started.skipped})` : ''

let folder: string
beforeAll(async () => {
  buildCommandLine()
  folder = await mkdtemp(join(tmpdir(), 'remex-fleet-'))
  await mkdir(join(folder, 'home'))
}, 60_000)
afterAll(async () => {
  await server?.close()
  await rm(folder, { recursive: true })
})

type Vms = Record<string, Record<string, unknown>>
type Reached = Pick<TestHost, 'address' | 'port'> & Partial<Pick<TestHost, 'login' | 'hostKeys'>>

/** Hosts `<name>01`, `<name>02`, … that are all the same server. */
async function hosts(name: string, count: number, { address, port, login = 'tester', hostKeys, ...rest }: Reached & Partial<TestHost>): Promise<Vms> {
  const identity = join(folder, `key-${name}`)
  await writeFile(identity, rest.privateKey ?? (server as OpensshServer).privateKey, { mode: 0o600 })
  const vm = { ip: address, ssh_port: port, ssh_user: login, role: name, identity_file: identity, ...(hostKeys && { host_key: hostKeys.map(({ fingerprint }) => fingerprint) }) }
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`${name}${String(index + 1).padStart(3, '0')}`, vm]))
}

/** Servers of the kit have getters, which a spread would lose. */
const parts = ({ address, port, login, hostKeys, privateKey }: TestHost): Reached & Partial<TestHost> => ({ address, port, login, hostKeys, privateKey })

async function configOf(vms: Vms): Promise<string> {
  const path = join(folder, 'config.json')
  const settings = { audit_log_path: join(folder, 'audit'), known_hosts_path: join(folder, 'known_hosts'), connect_timeout: '6s', default_retry: 1 }
  await writeFile(path, JSON.stringify({ vms, remote_execution: settings }))
  return path
}

function start(words: readonly string[], stdout: 'pipe' | 'ignore' = 'pipe'): ChildProcess {
  return spawn(process.execPath, [CLI, ...words], { env: { PATH: process.env.PATH, HOME: join(folder, 'home'), REMEX_STATE_DIR: join(folder, 'state') }, stdio: ['ignore', stdout, 'pipe'] })
}
const call = (words: readonly string[]): Promise<Ended> => ended(start(words))

function statesOf({ rows }: Ended): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { state } of rows) counts[String(state)] = (counts[String(state)] ?? 0) + 1
  return counts
}

describe.skipIf(!server)(`a fleet of a hundred hosts${reason}`, () => {
  it.skipIf(process.getuid?.() !== 0)('of which some are silent, refuse, have another key, break, flood or take too long has the right state for each', { timeout: 60_000 }, async () => {
    await using silent = await silentAfterAccept()
    await using refusing = await refusesConnection()
    await using changed = await changedHostKey()
    await using breaking = await dropsAfterExecStarted()
    const real = server as OpensshServer
    const [flooder, sleeper] = [await real.testUser('/bin/sh'), await real.testUser('/bin/sh')]
    const groups = [
      hosts('good', 60, real), hosts('silent', 8, silent), hosts('refusing', 8, refusing),
      hosts('changed', 8, { ...parts(changed), hostKeys: real.hostKeys }),
      hosts('breaking', 8, parts(breaking)),
      hosts('flooding', 4, { ...parts(real), login: flooder?.name ?? '' }), hosts('slow', 4, { ...parts(real), login: sleeper?.name ?? '' }),
    ]
    const config = await configOf(Object.assign({}, ...(await Promise.all(groups))) as Vms)
    const command = ['run', 'all', '--config', config, '--timeout', '3s', '--parallel', '100', '--max-output', '10k']
    const text = `case $(id -un) in ${flooder?.name ?? '-'}) exec yes;; ${sleeper?.name ?? '-'}) exec sleep 60;; *) echo hello;; esac`
    const json = await call([...command, '--json', '-c', text])
    expect(json.status).toBe(1)
    expect(json.rows).toHaveLength(100)
    expect(new Set(json.rows.map(({ vm_id }) => vm_id)).size).toBe(100)
    expect(statesOf(json)).toEqual({ succeeded: 60, unreachable: 16, host_key_refused: 8, lost: 8, timed_out: 8 })
    const good = json.rows.filter(({ vm_id }) => String(vm_id).startsWith('good'))
    expect(new Set(good.map(({ stdout }) => stdout))).toEqual(new Set(['hello\n']))
    // The deadline and the grace of those that were ended; no good host waited for them.
    expect(Math.max(...good.map(({ execution_time }) => Number(execution_time)))).toBeLessThan(10)
    // What floods is shown line by line, and nobody needs to read it here.
    const people = await ended(start([...command, '-c', text], 'ignore'))
    expect(people.status).toBe(1)
    expect(people.stderr).toMatch(/^remex: 100 hosts: 60 succeeded(?=.*, 16 unreachable)(?=.*, 8 host key refused)(?=.*, 8 lost)(?=.*, 8 timed out)/m)
    expect(people.stderr).toMatch(/^remex: {3}silent\[001-008\]: unreachable \(CONNECT_TIMEOUT\)$/m)
  })

  it('behind one sshd as it comes from the system is served whole', { timeout: 60_000 }, async () => {
    const config = await configOf(await hosts('h', 100, server as OpensshServer))
    const result = await call(['run', 'all', '--config', config, '--parallel', '100', '--json', '--', 'echo', 'hello'])
    expect([result.status, statesOf(result)]).toEqual([0, { succeeded: 100 }])
  })

  it('that is interrupted in the middle has everything ended and every host accounted for', { timeout: 60_000 }, async () => {
    const config = await configOf(await hosts('h', 60, server as OpensshServer))
    const running = (): number => Number(spawnSync('sh', ['-c', "ps -eo args | grep -c '^[s]leep 31.4159'"], { encoding: 'utf8' }).stdout)
    const child = start(['run', 'all', '--config', config, '--parallel', '32', '--json', '--', 'sleep', '31.4159'])
    const end = ended(child)
    await until(() => running() >= 20, { what: 'the commands', timeoutMs: 30_000 })
    child.kill('SIGINT')
    const result = await end
    expect(result.status).toBe(130)
    expect(running()).toBe(0)
    const states = statesOf(result)
    expect(result.rows).toHaveLength(60)
    expect(Object.keys(states).filter((state) => !['cancelled', 'not_started', 'not_tried'].includes(state))).toEqual([])
    expect(states['cancelled']).toBeGreaterThanOrEqual(20)
  })
})
