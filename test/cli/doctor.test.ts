import { readdir, rm, writeFile } from 'node:fs/promises'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { silentAfterAccept } from '../../testkit/fault-servers.ts'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, Workshop, type WorkshopOptions } from './workshop.ts'

let shop: Workshop

beforeAll(buildCommandLine, 60_000)

afterEach(async () => {
  await shop[Symbol.asyncDispose]()
})

/** Starts the servers that a test needs. */
async function open(ids: readonly string[], options?: WorkshopOptions): Promise<void> {
  shop = await Workshop.with(ids, options)
}

const LOCAL = ['node', 'configuration', 'ssh', 'key_store', 'keys', 'certificates', 'known_hosts', 'audit', 'audit_chain']
const REMOTE = ['dns', 'tcp', 'banner', 'algorithms', 'post_quantum', 'host_key', 'authentication', 'shell', 'checksum_tool', 'disk', 'clock', 'sudo', 'sshd_limits']

describe('doctor', () => {
  it('tells people of this machine, then of each host, a line for each check, and exits with 0 where nothing failed', async () => {
    await open(['vm01', 'vm02'])
    const { status, stdout, stderr } = await shop.call(['doctor'])
    expect(stderr).toMatch(/^remex: this machine and 2 hosts: \d+ ok, \d warnings?, 0 failed, \d+ skipped\n$/)
    expect(status).toBe(0)
    expect(stdout.split('\n').filter((line) => !line.startsWith(' ')).toSorted()).toEqual(['', 'this machine', 'vm01', 'vm02'])
    expect(stdout).toMatch(/^this machine\n {2}ok {7}node {12}Node\.js \d/)
    expect(stdout).toContain(`\n  ok       host key        ssh-ed25519 ${shop.server('vm01').hostKeys[0]?.fingerprint ?? ''}\n`)
    expect(stdout.split('\n').filter((line) => /^ {2}\w/.test(line))).toHaveLength(LOCAL.length + 2 * REMOTE.length)
  })

  it('says below what failed what to type about it, and exits with 1', async () => {
    await open(['vm01'], { trusted: false })
    const { status, stdout, stderr } = await shop.call(['doctor', 'vm01'])
    expect(status).toBe(1)
    expect(stdout).toMatch(/\n {2}failed {3}known hosts {5}no key is known for vm01: [^\n]*\n {29}remex hosts trust vm01\n/)
    expect(stdout).toMatch(/\n {2}failed {3}host key {8}[^\n]*\n {29}[^\n]*remex hosts trust vm01 --fingerprint SHA256:/)
    expect(stderr).toMatch(/ 2 failed, /)
  })

  it('gives with --json one object for each check, without vm_id where it is about this machine', async () => {
    await open(['vm01'])
    const { status, rows, stderr } = await shop.call(['doctor', '--json'])
    expect(status).toBe(0)
    expect(stderr).toBe('')
    expect(rows.map(({ vm_id, check }) => [vm_id, check])).toEqual([...LOCAL.map((check) => [undefined, check]), ...REMOTE.map((check) => ['vm01', check])])
    expect(rows[0]).toEqual({ check: 'node', status: 'ok', message: `Node.js ${process.versions.node}`, hint: null })
  })

  it('exits with 0 where there are warnings alone', async () => {
    await open(['vm01'])
    await writeFile(shop.path('known_hosts'), `${shop.server('vm01').knownHosts}nonsense\n`)
    const { status, stdout, stderr } = await shop.call(['doctor'])
    expect([status, stderr]).toEqual([0, expect.stringMatching(/ [1-9] warnings?, 0 failed/)])
    expect(stdout).toMatch(/\n {2}warning {2}known hosts {5}[^\n]*the first is line 2\n {29}[^\n]*sed -n 2p /)
  })

  it('has no summary with --quiet', async () => {
    await open(['vm01'])
    expect((await shop.call(['doctor', '--quiet'])).stderr).toBe('')
  })

  it.each([
    ['a host that is not there', 'vm09', 'HOST_UNKNOWN'],
    ['a host that is disabled', 'off', 'HOST_NOT_ALLOWED'],
    ['what is no target', 'vm[', 'USAGE'],
  ])('refuses %s before it looks at anything', async (_, targets, code) => {
    await open([], { hosts: { off: { ip: '10.0.0.9', enabled: false } } })
    const { status, rows } = await shop.call(['doctor', targets, '--json'])
    expect(status).toBe(125)
    expect(rows).toEqual([{ error: expect.objectContaining({ code }) as object }])
  })

  it('says on which hosts of the configuration it does not look', async () => {
    await open(['vm01'], { hosts: { off: { ip: '10.0.0.9', enabled: false } } })
    expect((await shop.call(['doctor'])).stdout).toMatch(/\noff\n {2}skipped {2}configuration {3}off is disabled in the configuration\n/)
  })

  it('ends at an interruption, with 130', async () => {
    await using silent = await silentAfterAccept()
    await open([], { hosts: { vm01: { ip: silent.address, ssh_port: silent.port } } })
    const child = shop.start(['doctor'])
    const end = ended(child)
    await until(() => silent.connections > 0, { what: 'the knock' })
    child.kill('SIGINT')
    expect((await end).status).toBe(130)
  })
})

describe('doctor without a configuration that can be used', () => {
  const REST = LOCAL.slice(2).concat('hosts')

  it('has the message and the hint of the one that is wrong as a finding, with every place, and skips the rest', async () => {
    await open([])
    await writeFile(shop.path('config.yml'), 'vms:\n  vm01:\n    ip: 10.0.0.1\n    ssh_prot: 22\n  vm02:\n    ip: 7\n')
    const { status, rows } = await shop.call(['doctor', '--json'])
    expect(status).toBe(1)
    expect(rows.map(({ check, status: state }) => `${String(check)} ${String(state)}`)).toEqual(['node ok', 'configuration failed', ...REST.map((check) => `${check} skipped`)])
    expect(rows[1]).toMatchObject({ message: expect.stringMatching(/config\.yml:4:5: [^]*config\.yml:6:9: /) as string, hint: expect.stringContaining('remex config check') as string })
    const people = await shop.call(['doctor'])
    expect(people.status).toBe(1)
    expect(people.stdout).toMatch(/\n {2}failed {3}configuration {3}[^\n]* has 2 problems:\n {27} {2}[^\n]*config\.yml:4:5: /)
    expect(people.stdout + people.stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m)
  })

  it('says where there is none how to begin, and makes nothing', async () => {
    await open([])
    await rm(shop.path('config.yml'))
    const before = await readdir(shop.folder)
    const { status, stdout } = await shop.call(['doctor'], { env: { REMEX_CONFIG: '' } })
    expect(status).toBe(1)
    expect(stdout).toMatch(/\n {2}failed {3}configuration {3}there is no configuration file[^\n]*\n {29}[^\n]*remex init\n/)
    expect(await readdir(shop.folder)).toEqual(before)
  })
})

describe('what a hostile host says', () => {
  it('reaches the terminal without its control characters, and not at length', async () => {
    const forceCommand = String.raw`printf 'remex-doctor uname \033[2J\033]0;x\007\nremex-doctor proc yes\nremex-doctor end yes\n'; head -c 5000000 /dev/zero | tr '\0' x`
    await open(['vm01'], { servers: { vm01: { forceCommand } } })
    const { stdout } = await shop.call(['doctor', 'vm01'])
    expect(stdout).toContain(String.raw`\x1b[2J`)
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
    expect(stdout.length).toBeLessThan(10_000)
  })
})
