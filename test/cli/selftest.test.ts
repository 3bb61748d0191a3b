import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startOpensshServer } from '../../testkit/openssh-server.ts'
import { until } from '../../testkit/until.ts'
import { fleetOf } from '../interop/fleet-of.ts'
import { buildCommandLine, ended, Workshop } from './workshop.ts'

const CHECKS = ['connect', 'command', 'script', 'upload', 'download', 'deadline']
const MOST_MS = 30_000

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with(['vm01', 'vm02'], { hosts: { off: { ip: '127.0.0.1', enabled: false }, down: { ip: '127.0.0.1', ssh_port: 1, groups: ['broken'] } } })
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

/** The files in `directory`, by their ending. */
async function filesIn(directory: string): Promise<{ names: string[]; log: string; json: unknown }> {
  const names = (await readdir(directory)).toSorted()
  const [json = '', log = ''] = names.map((name) => `${directory}/${name}`)
  return { names, log: await readFile(log, 'utf8'), json: JSON.parse(await readFile(json, 'utf8')) as unknown }
}

describe('selftest', () => {
  it('says in a line how each check went, sums up on stderr, and gives 0', async () => {
    const { status, stdout, stderr } = await shop.call(['selftest', 'vm01,vm02'])
    expect(stdout.replaceAll(/ \d+\.\d\d s$/gm, ' T s').trimEnd().split('\n').toSorted()).toEqual(
      [...['vm01', 'vm02'].flatMap((id) => CHECKS.map((check) => `${id} ${check} ok T s`)), 'audit ok T s'].toSorted(),
    )
    expect(stderr).toMatch(/^remex: selftest of 2 hosts: 13 ok\nremex: see results\/selftest_\d{8}T\d{9}Z\.log and results\/selftest_\d{8}T\d{9}Z\.json\n$/)
    expect(status).toBe(0)
  }, MOST_MS)

  it('writes the log and the rows under results/, for nobody else to read', async () => {
    const cwd = shop.path('elsewhere')
    await shop.call(['selftest', 'vm01', '--json'], { env: { RESULTS_DIR: cwd } })
    const { names, log, json } = await filesIn(cwd)
    expect(names).toEqual([expect.stringMatching(/^selftest_\w+\.json$/), expect.stringMatching(/^selftest_\w+\.log$/)])
    expect((await stat(cwd)).mode & 0o777).toBe(0o700)
    for (const name of names) expect((await stat(`${cwd}/${name}`)).mode & 0o777).toBe(0o600)
    expect(json).toEqual([...CHECKS.map((check) => expect.objectContaining({ vm_id: 'vm01', check, status: 'ok', hint: '' }) as object), expect.objectContaining({ check: 'audit' })])
    expect(log).toMatch(/^\S+Z remex \S+ selftest of vm01, asked for by \S+\n\S+Z vm01 connect ok \d+\.\d\d s: ssh2, /)
    expect(log).toContain('selftest of 1 host: 7 ok')
  }, MOST_MS)

  it('prints with --json the same rows and nothing else on stdout', async () => {
    const { status, rows } = await shop.call(['selftest', 'vm01', '--json'])
    expect(status).toBe(0)
    expect(rows.map(({ check }) => check)).toEqual([...CHECKS, 'audit'])
    expect(Object.keys(rows[0] ?? {})).toEqual(['vm_id', 'check', 'status', 'message', 'hint', 'execution_time'])
    expect(Object.keys(rows.at(-1) ?? {})).not.toContain('vm_id')
  }, MOST_MS)

  it('tests all hosts unless told which, names those that are left out, and gives 1 where one failed, with why and what to do', async () => {
    const { status, stdout, stderr } = await shop.call(['selftest', '--parallel', '3'])
    expect(status).toBe(1)
    expect(stderr).toContain('off is left out: it is disabled')
    expect(stderr).toContain('selftest of 3 hosts: 13 ok, 1 failed, 5 skipped')
    expect(stdout).toMatch(/^down connect failed \d+\.\d\d s: .*no key for down.*\n {2}Put the private key there.*$/m)
    expect(stdout).toMatch(/^down command skipped: connect did not go well$/m)
  }, MOST_MS)

  it('gives 1 for one host too', async () => {
    expect((await shop.call(['selftest', 'down', '--quiet'])).status).toBe(1)
  })

  it('does nothing where the results cannot be written', async () => {
    await writeFile(shop.path('a-file'), '')
    const before = shop.server('vm01').logins
    const { status, stderr } = await shop.call(['selftest', 'vm01'], { env: { RESULTS_DIR: shop.path('a-file') } })
    expect(status).toBe(125)
    expect(stderr).toContain('a file is in its place')
    expect(shop.server('vm01').logins).toBe(before)
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('at %s ends what runs, removes what it made, gives 130, and has the results so far', async (signal) => {
    const results = shop.path(`results-${signal}`)
    const own = await mkdtemp(shop.path('tmp-'))
    const child = shop.start(['selftest', 'vm01', '--verbose'], { env: { RESULTS_DIR: results, TMPDIR: own } })
    const rest = ended(child)
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await until(() => seen.includes('vm01 upload ok'), { what: 'the upload' })
    child.kill(signal)
    const { status, stdout } = await rest
    expect(status).toBe(130)
    expect(stdout).toContain('audit skipped: interrupted')
    expect((await filesIn(results)).json).toHaveLength(7)
    expect([...(await readdir(shop.server('vm01').home)), ...(await readdir(own))]).toEqual([])
  }, MOST_MS)
})

const openssh = await startOpensshServer()
const reason = 'skipped' in openssh ? openssh.skipped : ''

describe.skipIf(reason !== '')(`selftest against the machine’s OpenSSH server${reason && ` (skipped: ${reason})`}`, () => {
  afterAll(async () => {
    if (!('skipped' in openssh)) await openssh.close()
  })

  it('finds all well', async () => {
    if ('skipped' in openssh) return
    await using fleet = await fleetOf({ real01: openssh, real02: openssh })
    await writeFile(shop.path('real.yml'), JSON.stringify(fleet.config))
    const { status, stdout, stderr } = await shop.call(['--config', shop.path('real.yml'), 'selftest'])
    expect(stdout).not.toMatch(/failed|skipped/)
    expect(stderr).toContain('selftest of 2 hosts: 13 ok')
    expect(status).toBe(0)
  }, MOST_MS)
})
