import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildCommandLine, Workshop, type Ended } from './workshop.ts'

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with([])
  await mkdir(shop.path('.ssh', 'more'), { recursive: true })
  await writeFile(shop.path('.ssh', 'id_web'), '')
  await writeFile(shop.path('.ssh', 'config'), SSH_CONFIG)
  await writeFile(shop.path('.ssh', 'more', 'db.conf'), 'Host db\n  HostName 10.0.0.2\n')
  await mkdir(shop.path('inventory', 'group_vars'), { recursive: true })
  await writeFile(shop.path('inventory', 'hosts'), INVENTORY)
  await writeFile(shop.path('inventory', 'group_vars', 'web.yml'), 'ansible_user: deploy\n')
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

const SSH_CONFIG = `Include more/*.conf
Host web
  HostName 10.0.0.1
  IdentityFile ~/.ssh/id_web
  ProxyJump gate
Host gate
  HostName gate.example.com
  ProxyCommand nc %h %p
Host w\u001b[2J
Match exec "touch executed"
  User nobody
Host *
  User bob
`

const INVENTORY = `[web]
web[01:02] ansible_port=2222
win ansible_connection=winrm
`

/** A configuration of its own for each test. */
function init(name: string, ...words: readonly string[]): Promise<Ended> {
  return shop.call(['init', '--config', `${name}.yml`, ...words], { cwd: shop.folder })
}

/** What the check says of the file, and the hosts it has. */
async function written(name: string): Promise<unknown> {
  const env = { REMEX_CONFIG: '' }
  expect((await shop.call(['config', 'check', '--config', `${name}.yml`], { env })).status).toBe(0)
  const { rows } = await shop.call(['hosts', 'list', '--json', '--config', `${name}.yml`], { env })
  return rows.map(({ vm_id, address, port, login, groups, enabled }) => ({ vm_id, address, port, login, groups, enabled }))
}

describe('init --from-ssh-config', () => {
  it('writes the hosts of ~/.ssh/config, tells what is left out, and says what to do next', async () => {
    const { status, stdout, stderr } = await init('ssh', '--from-ssh-config')
    expect({ status, stdout: stdout.replaceAll(/ {2}\S+ --config/g, '  remex --config') }).toEqual({
      status: 0,
      stdout: 'wrote ssh.yml with 3 hosts of ~/.ssh/config, 1 left out\nNext:\n  remex --config ssh.yml config check\n  remex --config ssh.yml keys setup all\n  remex --config ssh.yml run all -- uptime\n',
    })
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(/^remex: w\\x1b\[2J is left out: expected a host id/),
      'remex: ~/.ssh/config:10: this Match and what stands under it is left out: only "all", "host" and "originalhost" are understood',
      'remex: gate: its ProxyCommand is kept by ssh_config: the ssh of this machine runs it',
      '',
    ])
    expect((await stat(shop.path('ssh.yml'))).mode & 0o777).toBe(0o600)
    expect(await written('ssh')).toEqual([
      { vm_id: 'db', address: '10.0.0.2', port: 22, login: 'bob', groups: [], enabled: true },
      { vm_id: 'web', address: '10.0.0.1', port: 22, login: 'bob', groups: [], enabled: true },
      { vm_id: 'gate', address: 'gate.example.com', port: 22, login: 'bob', groups: [], enabled: true },
    ])
  })

  it('keeps keys and jumps, and the comments of the rest', async () => {
    const text = await readFile(shop.path('ssh.yml'), 'utf8')
    expect(text).toContain('    identity_file: ~/.ssh/id_web\n    jump: gate\n')
    expect(text).toContain('    ip: gate.example.com\n    ssh_user: bob\n    ssh_config: gate\n')
    expect(text).toContain('#ssh_config_path:')
    expect(text).toContain('#policy:')
  })

  it('executes nothing', async () => {
    await expect(stat(shop.path('executed'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('reads another file, also behind ~', async () => {
    expect((await init('other', '--from-ssh-config', '~/.ssh/more/db.conf')).stdout).toMatch(/^wrote other\.yml with 1 host of ~\/\.ssh\/more\/db\.conf\n/)
    expect(await written('other')).toEqual([expect.objectContaining({ vm_id: 'db', login: userInfo().username })])
  })

  it('says it in JSON, and nothing with --quiet', async () => {
    const { rows, stderr } = await init('json', '--from-ssh-config', '--json', '--quiet')
    expect(rows).toEqual([{ path: 'json.yml', created: true, hosts: 3, left_out: [{ name: 'w\u001b[2J', reason: expect.stringContaining('a host id') }] }])
    expect(stderr).toBe('')
  })
})

describe('init --from-ansible', () => {
  it('writes the hosts of an inventory with the variables beside it', async () => {
    const { status, stdout, stderr } = await init('ansible', '--from-ansible', 'inventory/hosts')
    expect({ status, first: stdout.split('\n')[0] }).toEqual({ status: 0, first: 'wrote ansible.yml with 2 hosts of inventory/hosts, 1 left out' })
    expect(stderr).toBe('remex: win is left out: it is not reached by SSH (ansible_connection: winrm)\n')
    const host = { port: 2222, login: 'deploy', groups: ['web'], enabled: true }
    expect(await written('ansible')).toEqual([{ vm_id: 'web01', address: 'web01', ...host }, { vm_id: 'web02', address: 'web02', ...host }])
  })

  it('takes no path from a name of the inventory', async () => {
    await writeFile(shop.path('outside.yml'), 'ansible_user: outside\n')
    await writeFile(shop.path('inventory', 'evil'), '[../../outside]\nx\n')
    await init('evil', '--from-ansible', 'inventory/evil')
    expect(await written('evil')).toEqual([expect.objectContaining({ vm_id: 'x', login: userInfo().username })])
  })
})

describe('init with hosts', () => {
  it('keeps a configuration that is there, also behind a link that leads nowhere', async () => {
    await writeFile(shop.path('mine.yml'), 'mine')
    await symlink(shop.path('elsewhere'), shop.path('link.yml'))
    expect((await init('mine', '--from-ssh-config')).stdout).toBe('mine.yml is there already and was kept as it is\n')
    expect((await init('link', '--from-ssh-config', '--json')).rows).toEqual([{ path: 'link.yml', created: false, hosts: 0, left_out: [] }])
    expect(await readFile(shop.path('mine.yml'), 'utf8')).toBe('mine')
  })

  it.each([
    ['both sources', ['--from-ssh-config', '--from-ansible', 'inventory/hosts'], 'USAGE'],
    ['an empty path', ['--from-ansible', ''], 'USAGE'],
    ['an inventory that is not named', ['--from-ansible'], 'USAGE'],
    ['a file that is not there', ['--from-ssh-config', 'nope'], 'LOCAL_NOT_FOUND'],
    ['a directory', ['--from-ansible', 'inventory'], 'USAGE'],
    ['a file without hosts', ['--from-ssh-config', '/dev/null'], 'CONFIG_INVALID'],
    ['a file of which no host can be taken over', ['--from-ansible', 'windows'], 'CONFIG_INVALID'],
    ['a file that is not UTF-8', ['--from-ansible', 'latin1'], 'CONFIG_INVALID'],
    ['an endless file', ['--from-ansible', '/dev/zero'], 'CONFIG_INVALID'],
  ])('gives 125 and the code for %s, and writes nothing', async (_, words, code) => {
    await writeFile(shop.path('windows'), 'win ansible_connection=winrm\n')
    await writeFile(shop.path('latin1'), Buffer.from([0xe4, 0x0a]))
    const { status, rows } = await init('never', '--json', ...words)
    expect(status).toBe(125)
    expect(rows).toEqual([{ error: expect.objectContaining({ code }) }])
    await expect(stat(join(shop.folder, 'never.yml'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
