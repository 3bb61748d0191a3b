import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, Workshop } from './workshop.ts'

let shop: Workshop
let temporary: string

beforeAll(buildCommandLine, 60_000)

beforeEach(async () => {
  shop = await Workshop.with([])
  temporary = await mkdtemp(join(tmpdir(), 'remex-demo-test-'))
})

afterEach(async () => {
  await shop[Symbol.asyncDispose]()
  await rm(temporary, { recursive: true, force: true })
})

const environment = (): NodeJS.ProcessEnv => ({ TMPDIR: temporary, REMEX_CONFIG: '/nope', NO_COLOR: '1' })

describe('remex demo', () => {
  it('shows the main job on its own, succeeds, says what to do next, and leaves nothing behind', async () => {
    const { status, stdout, stderr } = await shop.call(['demo'], { env: environment() })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    for (const shown of ['HOST_KEY_UNKNOWN', 'vm04: I am vm04', '2 hosts: 2 succeeded', 'verified', 'none is left', 'init']) expect(stdout).toContain(shown)
    expect(stdout).not.toContain('\u001b')
    expect(await readdir(temporary)).toEqual([])
    expect(existsSync(shop.path('state'))).toBe(false)
  })

  it('gives one object for each step with --json', async () => {
    const { status, rows } = await shop.call(['demo', '--json'], { env: environment() })
    expect(status).toBe(0)
    expect(rows.map((row) => [row['step'], row['success']])).toEqual(
      ['unknown_host_key', 'trust', 'run', 'script', 'put', 'get', 'deadline', 'audit'].map((step) => [step, true]),
    )
  })

  it('cleans up after a Ctrl-C', async () => {
    const child = shop.start(['demo'], { env: environment() })
    const rest = ended(child)
    await until(async () => (await readdir(temporary)).length > 0, { what: 'the demo to begin' })
    child.kill('SIGINT')
    expect((await rest).status).toBe(130)
    expect(await readdir(temporary)).toEqual([])
  })

  it('leaves the servers up with --keep, to be used by the configuration that it names, until a Ctrl-C', async () => {
    const child = shop.start(['demo', '--keep', '--json'], { env: environment() })
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    const rest = ended(child)
    const config = await until(() => /"config":"([^"]+)"/.exec(seen)?.[1], { what: 'the demo to be up', timeoutMs: 25_000 })
    const { status, stdout } = await shop.call(['--config', config, 'run', 'all', '--quiet', '-c', 'echo "$REMEX_DEMO_HOST"'])
    expect(status).toBe(0)
    expect(stdout.split('\n').sort()).toEqual(['', 'vm01: vm01', 'vm02: vm02', 'vm03: vm03', 'vm04: vm04'])
    child.kill('SIGINT')
    expect((await rest).status).toBe(130)
    expect(existsSync(config)).toBe(false)
  })
})
