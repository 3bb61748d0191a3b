import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { ended, Workshop, type Ended } from '../cli/workshop.ts'

const ROOT = join(import.meta.dirname, '../..')
const EXAMPLES = readdirSync(join(ROOT, 'examples')).filter((name) => name.endsWith('.ts'))

let shop: Workshop
let programs: string
let config: string
const tried = new Set<string>()

/** Bundled for Node as users would; packages are found by a link, as in their node_modules. */
beforeAll(async () => {
  programs = await mkdtemp(join(tmpdir(), 'remex-examples-'))
  await symlink(join(ROOT, 'node_modules'), join(programs, 'node_modules'))
  const entryPoints = EXAMPLES.map((name) => join(ROOT, 'examples', name))
  const shape = { bundle: true, splitting: true, platform: 'node', format: 'esm', target: 'node20.19', packages: 'external', outExtension: { '.js': '.mjs' } } as const
  await build({ ...shape, entryPoints, outdir: programs, logLevel: 'silent' })
  // Nothing listens on port 1 of loopback, so vm03 is a host that is down.
  shop = await Workshop.with(['vm01', 'vm02'], { hosts: { vm03: { ip: '127.0.0.1', ssh_port: 1 } } })
  await writeFile(shop.path('keys', 'id_ed25519_vm03'), await readFile(shop.path('keys', 'id_ed25519_vm01')), { mode: 0o600 })
  config = shop.path('config.yml')
})

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
  await rm(programs, { recursive: true })
})

/** Runs an example as a process of its own. */
async function run(name: string, ...args: readonly string[]): Promise<Ended> {
  tried.add(`${name}.ts`)
  const env = { PATH: process.env['PATH'], HOME: shop.folder }
  return ended(spawn(process.execPath, [join(programs, `${name}.mjs`), config, ...args], { cwd: shop.folder, env, stdio: ['ignore', 'pipe', 'pipe'] }))
}

/** Whether a process of this machine has `text` in its arguments. */
async function isRunning(text: string): Promise<boolean> {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if ((await readFile(join('/proc', pid, 'cmdline'), 'utf8').catch(() => '')).includes(text)) return true
  }
  return false
}

describe('the example', () => {
  it('api shows text, words, quoting, live lines, a receipt and many hosts', async () => {
    const home = shop.server('vm01').home
    const { stdout, stderr, status } = await run('api', 'vm01', home)
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
    expect(stdout).toMatch(/^hello\n 3 false\ngrep ended with 1\nline 1\nline 2\ntrue \d+ [0-9a-f]{64}\n/)
    expect(stdout).toMatch(/^vm01 exited 0$/m)
    expect(stdout).toMatch(/^vm02 exited 0$/m)
    expect(stdout).not.toMatch(/vm03/)
    expect(await readFile(join(home, 'copy.txt'), 'utf8')).toBe(await readFile(config, 'utf8'))
  })

  it('run-everywhere reports every host, also the one that is down', async () => {
    const { stdout, status } = await run('run-everywhere', 'all', 'echo', 'a  b', '$HOME')
    const lines = stdout.split('\n')
    expect(lines.filter((line) => line.startsWith('vm')).toSorted()).toEqual(['vm01: exit status 0', 'vm02: exit status 0', 'vm03: not_started (UNREACHABLE)'])
    expect(lines.filter((line) => line === '  a  b $HOME')).toHaveLength(2)
    expect(lines).toContain('3 hosts, 1 failed')
    expect(status).toBe(1)
    expect((await run('run-everywhere', 'vm[01-02]', 'true')).status).toBe(0)
  })

  it('live-lines follows a log, and leaves nothing behind when it has seen enough', async () => {
    const log = shop.path('a log.txt')
    await writeFile(log, 'starting\n')
    const running = run('live-lines', 'vm01', log, 'ready')
    await until(() => isRunning(`tail\0-n\0+1\0-f\0${log}`), { what: 'tail on the host' })
    await writeFile(log, 'half\nready now\nlater\n', { flag: 'a' })
    const { stdout, status } = await running
    expect(stdout).toBe('starting\nhalf\nready now\nfound ready\n')
    expect(status).toBe(0)
    expect(await isRunning(log)).toBe(false)
  })

  it('deadline ends what closing the connection would not, and says so', async () => {
    const { stdout, status } = await run('deadline', 'vm02')
    expect(stdout).toMatch(/^timed_out: the command on vm02 did not end within 1s\noutput so far: started\nended on the host: [3-5], still there: 0, looked at: tree\n$/)
    expect(status).toBe(0)
  })

  it('deploy-file sends with a mode, and uses the file only where it arrived', async () => {
    await writeFile(shop.path('app.conf'), 'setting = 1\n')
    const { stdout, status } = await run('deploy-file', 'all', 'app.conf', 'deployed.conf', 'grep', '-q', 'setting = 1', 'deployed.conf')
    const lines = stdout.trimEnd().split('\n').toSorted()
    expect(lines).toEqual([
      'vm01: in use', expect.stringMatching(/^vm01: mode 640, sha256 [0-9a-f]{64}$/),
      'vm02: in use', expect.stringMatching(/^vm02: mode 640, sha256 [0-9a-f]{64}$/),
      'vm03: UNREACHABLE, the old file is untouched',
    ])
    expect(status).toBe(1)
    expect(await run('deploy-file', 'vm03', 'app.conf', 'x', 'true')).toMatchObject({ stdout: 'vm03: UNREACHABLE, the old file is untouched\n', stderr: '', status: 1 })
    expect(await readFile(join(shop.server('vm02').home, 'deployed.conf'), 'utf8')).toBe('setting = 1\n')
  })

  it('health-check tells healthy, unhealthy and unreachable apart, as JSON lines', async () => {
    await writeFile(join(shop.server('vm02').home, 'ill'), '')
    const { rows, status } = await run('health-check', 'all', 'test ! -e ill')
    expect(rows.toSorted((a, b) => String(a['vm_id']).localeCompare(String(b['vm_id'])))).toEqual([
      { vm_id: 'vm01', state: 'healthy', exit_code: 0, error: null, execution_time: expect.any(Number), timestamp: expect.any(String) },
      { vm_id: 'vm02', state: 'unhealthy', exit_code: 1, error: null, execution_time: expect.any(Number), timestamp: expect.any(String) },
      { vm_id: 'vm03', state: 'unreachable', exit_code: null, error: 'UNREACHABLE', execution_time: expect.any(Number), timestamp: expect.any(String) },
    ])
    expect(status).toBe(1)
    expect((await run('health-check', 'vm01')).status).toBe(0)
  })

  it('original-functions runs, uploads, runs a script, downloads, and meets the deadline', async () => {
    await writeFile(shop.path('report.sh'), 'echo "report on $1" | tee report.txt\n')
    const { stdout, stderr, status } = await run('original-functions', 'vm01', shop.folder)
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
    expect(stdout).toBe('3 hello\n\nreport on all hosts\n\nTIMED_OUT the command on vm01 did not end within 1s\n')
    expect(await readFile(shop.path('report.txt'), 'utf8')).toBe('report on all hosts\n')
  })

  it('of every file was tried', () => {
    expect([...tried].toSorted()).toEqual(EXAMPLES.toSorted())
  })
})
