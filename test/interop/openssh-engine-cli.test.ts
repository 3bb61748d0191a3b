import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, type Ended } from '../cli/workshop.ts'
import { CertificatePlace } from './certificate-place.ts'
import { skipReason, startSshd } from './openssh-here.ts'
import { hostBlock } from './ssh-config-fleet.ts'

const CLI = join(import.meta.dirname, '..', '..', 'dist', 'cli.cjs')
const reason = skipReason('ssh', 'sshd', 'ssh-keygen')

describe.skipIf(reason !== '')(`the command line with the openssh engine${reason}`, () => {
  let folder: string
  let place: CertificatePlace
  let server: OpensshServer
  let old: OpensshServer
  beforeAll(async () => {
    buildCommandLine()
    folder = await mkdtemp(join(tmpdir(), 'remex-engine-'))
    await mkdir(join(folder, 'tmp'))
    place = await CertificatePlace.make()
    const authority = await place.key('ca')
    ;[server, old] = await Promise.all([startSshd({ postQuantum: true, config: [`TrustedUserCAKeys ${authority.path}.pub`] }), startSshd({ config: ['KexAlgorithms curve25519-sha256'] })])
    const key = await place.key('ada')
    const expired = await place.sign(authority, key, { kind: 'user', principal: server.login, validity: '-3d:-1d' })
    await writeFile(join(folder, 'ssh_config'), `${hostBlock('db', server).join('\n')}\n`)
    const entry = ({ address, port, login, privateKeyPath, hostKeys }: OpensshServer): Record<string, unknown> =>
      ({ ip: address, ssh_port: port, ssh_user: login, identity_file: privateKeyPath, host_key: hostKeys[0]?.fingerprint })
    const vms = {
      able: entry(server),
      unable: entry(old),
      known: { ip: 'db', ssh_config: true, host_key: server.hostKeys[0]?.fingerprint },
      unread: { ...entry(server), identity_file: join(folder, 'pkcs8') },
      expired: { ...entry(server), identity_file: key.path, identity_certificate: expired },
    }
    await writeFile(join(folder, 'pkcs8'), generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
    const settings = { require_post_quantum: true, ssh_config_path: join(folder, 'ssh_config'), audit_log_path: join(folder, 'audit'), known_hosts_path: join(folder, 'known_hosts'), default_retry: 1 }
    await writeFile(join(folder, 'config.json'), JSON.stringify({ vms, remote_execution: settings }))
  }, 90_000)
  afterAll(async () => {
    await Promise.all([server.close(), old.close()])
    await place[Symbol.asyncDispose]()
    await rm(folder, { recursive: true })
  })

  /** In a group of its own, as a shell has it, so that signals can be sent as a terminal does. */
  function start(words: readonly string[]): ChildProcess {
    const env = { PATH: process.env['PATH'], HOME: folder, TMPDIR: join(folder, 'tmp'), REMEX_STATE_DIR: join(folder, 'state'), REMEX_CONFIG: join(folder, 'config.json') }
    return spawn(process.execPath, [CLI, ...words], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  }
  const call = (...words: readonly string[]): Promise<Ended> => ended(start(words))

  const runningThere = (text: string): boolean => spawnSync('/bin/sh', ['-c', `ps -eo args | grep "[s]leep ${text}"`]).status === 0
  const mastersHere = (): string => spawnSync('/bin/sh', ['-c', `ls -l /proc/[0-9]*/cwd 2>/dev/null | grep -F ${folder}/tmp/`], { encoding: 'utf8' }).stdout

  it('hosts check tells engine, reason and key exchange, for people and as JSON', async () => {
    const { status, stdout } = await call('hosts', 'check', 'able')
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^able: ok, openssh \(auto: require_post_quantum\), \S*(?:sntrup|mlkem)\S*, ssh-ed25519 SHA256:/)])
    const { rows } = await call('hosts', 'check', 'able,unable', '--json')
    expect(rows.toSorted((one, other) => String(one['vm_id']).localeCompare(String(other['vm_id'])))).toMatchObject([
      { vm_id: 'able', success: true, engine: 'openssh', engine_reason: 'auto: require_post_quantum', post_quantum: true, host_key: server.hostKeys[0]?.fingerprint },
      { vm_id: 'unable', success: false, engine: null, post_quantum: null, error: { code: 'HANDSHAKE_FAILED', may_have_run: false } },
    ])
  })

  it('a run that is refused for want of such a key exchange says why and what to do, and ends with 125', async () => {
    const { status, stdout, stderr } = await call('run', 'unable', '--', 'echo', 'in')
    expect([status, stdout]).toEqual([125, ''])
    expect(stderr).toMatch(/require_post_quantum is set, and the server has no key exchange that withstands quantum computers/)
    expect(stderr).toContain('require_post_quantum: false')
  })

  it('a run whose certificate has expired names it, and ends with 125', async () => {
    const { status, stderr } = await call('run', 'expired', '--', 'echo', 'in')
    expect(status).toBe(125)
    expect(stderr).toMatch(/the login as .* was refused; tried: \S+-cert\.pub \(ssh-ed25519-cert-v01@openssh\.com\)/)
  })

  it('a run whose key is in a format that no engine reads says so, and ends with 125', async () => {
    const { status, stderr } = await call('run', 'unread', '--', 'echo', 'in')
    expect([status, stderr]).toEqual([125, expect.stringMatching(/^remex: unread: key pkcs8: not a key that can be read.*\n.*\n$/)])
  })

  it('a host of ssh_config is run on, sent to and fetched from', async () => {
    const file = join(folder, 'file')
    await writeFile(file, 'content\n')
    expect(await call('run', 'known', '--', 'echo', 'in')).toMatchObject({ status: 0, stdout: 'in\n' })
    const there = (await call('run', 'known', '--', 'mktemp', '-d')).stdout.trim()
    expect(await call('put', 'known', file, `${there}/kept`)).toMatchObject({ status: 0 })
    expect(await call('get', 'known', `${there}/kept`, `${file}.back`)).toMatchObject({ status: 0 })
    await call('run', 'known', '--', 'rm', '-r', there)
    expect(await readFile(`${file}.back`, 'utf8')).toBe('content\n')
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('%s to all that a terminal would send it to ends the command there, and the ssh here', async (signal) => {
    const child = start(['run', 'able', '-c', 'echo up; sleep 441; :'])
    child.stdout?.once('data', () => process.kill(-Number(child.pid), signal))
    const { status, stdout } = await ended(child)
    expect([status, stdout]).toEqual([130, 'up\n'])
    await until(() => !runningThere('441') && mastersHere() === '', { what: 'nothing to be left' })
  })

  /** Kills the command line in the middle of a command, and waits until no ssh of it is left. */
  async function kill(command: string, waiting: { readonly timeoutMs: number }): Promise<void> {
    const child = start(['run', 'able', '-c', command])
    child.stdout?.once('data', () => child.kill('SIGKILL'))
    expect(await ended(child)).toMatchObject({ status: null, stdout: 'up\n' })
    await until(() => mastersHere() === '', { what: 'the end of the ssh', ...waiting })
  }

  it('a command line that is killed leaves no ssh behind when what it ran has ended', () => kill('echo up; sleep 1', { timeoutMs: 10_000 }))

  it('a command line that is killed leaves no ssh behind for longer than two seconds', () => kill('echo up; exec sleep 7', { timeoutMs: 4000 }))
})
