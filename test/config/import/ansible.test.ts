import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { importAnsible } from '../../../src/config/import/ansible.ts'
import { expandHostPattern } from '../../../src/config/import/ansible-range.ts'
import { readSshArgs } from '../../../src/config/import/ansible-ssh-args.ts'
import { splitWords } from '../../../src/config/import/words.ts'
import { readSource, readVarsFiles } from '../../../src/cli/import-files.ts'
import { fromAnsible } from './workshop.ts'

describe('a host of an INI inventory', () => {
  const cases: readonly (readonly [sentence: string, text: string, vms: object])[] = [
    ['stands before any section', 'web01\n', { web01: { ip: 'web01' } }],
    ['has its address, port and login', 'web01 ansible_host=10.0.0.1 ansible_port=2222 ansible_user=bob\n', { web01: { ip: '10.0.0.1', ssh_port: 2222, ssh_user: 'bob' } }],
    ['has the older names of variables, which Ansible prefers', 'web01 ansible_ssh_host=10.0.0.1 ansible_ssh_port=23 ansible_ssh_user=bob ansible_user=eve\n', { web01: { ip: '10.0.0.1', ssh_port: 23, ssh_user: 'bob' } }],
    ['has the port behind its name, unless a variable says another', 'a:23\nb:23 ansible_port=24\n', { a: { ip: 'a', ssh_port: 23 }, b: { ip: 'b', ssh_port: 24 } }],
    ['has values in quotes, and comments behind it', "a ansible_user='b b' # x\nb ansible_user=\"bob\" ; x=1\n".replace(' ; x=1', ''), { b: { ip: 'b', ssh_user: 'bob' } }],
    ['is in its groups and those above', '[web]\na\n[prod:children]\nweb\n[eu:children]\nprod\n', { a: { ip: 'a', groups: ['eu', 'prod', 'web'] } }],
    ['is in several groups with all its variables', '[web]\na ansible_port=23\n[db]\na ansible_user=bob\n', { a: { ip: 'a', ssh_port: 23, ssh_user: 'bob', groups: ['db', 'web'] } }],
    ['has the variables of its groups, the nearest first', '[all:vars]\nansible_user=all\nansible_port=1\n[p:vars]\nansible_port=2\nansible_host=p\n[c:vars]\nansible_host = "c"\n[p:children]\nc\n[c]\na\nb ansible_host=b\n', { a: { ip: 'c', ssh_port: 2, ssh_user: 'all', groups: ['p', 'c'] }, b: { ip: 'b', ssh_port: 2, ssh_user: 'all', groups: ['p', 'c'] } }],
    ['has the variables of the later name, between groups of the same depth', '[a]\nh\n[b]\nh\n[b:vars]\nansible_user=b\n[a:vars]\nansible_user=a\n', { h: { ip: 'h', ssh_user: 'b', groups: ['a', 'b'] } }],
    ['has a key file', 'a ansible_ssh_private_key_file=~/.ssh/k\n', { a: { ip: 'a', identity_file: '~/.ssh/k' } }],
    ['runs commands by sudo where it becomes', 'a ansible_become=yes\nb ansible_become=true ansible_become_user=app\nc ansible_become_user=app\nd ansible_become=False\ne ansible_become=1 ansible_become_user=root\n', { a: { ip: 'a', sudo: true }, b: { ip: 'b', sudo: 'app' }, c: { ip: 'c' }, d: { ip: 'd' }, e: { ip: 'e', sudo: true } }],
    ['has a jump of its arguments for ssh', `a ansible_ssh_common_args='-J bob@gate:23'\nb ansible_ssh_extra_args='-o ProxyJump=gate'\nc ansible_ssh_common_args='-oProxyJump=g.x,h'\n`, { a: { ip: 'a', jump: 'bob@gate:23' }, b: { ip: 'b', jump: 'gate:22' }, c: { ip: 'c', jump: 'g.x,h:22' } }],
    ['has a jump as the user who runs remex, where it has a login of its own', 'a ansible_user=bob ansible_ssh_common_args=-Jgate\n', { a: { ip: 'a', ssh_user: 'bob', jump: 'operator@gate' } }],
  ]
  it.each(cases)('%s', async (_sentence, text, vms) => {
    expect((await fromAnsible(text)).vms).toEqual(vms)
  })
})

describe('a host of a YAML inventory', () => {
  const cases: readonly (readonly [sentence: string, text: string, vms: object])[] = [
    ['stands under all, with or without variables', 'all:\n  hosts:\n    a:\n    b: {ansible_host: 10.0.0.2, ansible_port: "23"}\n', { a: { ip: 'a' }, b: { ip: '10.0.0.2', ssh_port: 23 } }],
    ['is in groups of groups', 'all:\n  vars: {ansible_user: all}\n  children:\n    prod:\n      children:\n        web: {hosts: {a: }, vars: {ansible_user: web}}\n      vars: {ansible_port: 23}\n', { a: { ip: 'a', ssh_port: 23, ssh_user: 'web', groups: ['prod', 'web'] } }],
    ['is in several groups with all its variables', 'web: {hosts: {a: {ansible_port: 23}}}\ndb: {hosts: {a: {ansible_user: bob}}}\n', { a: { ip: 'a', ssh_port: 23, ssh_user: 'bob', groups: ['db', 'web'] } }],
    ['may be a range, or a text alone', 'web: {hosts: {"w[1:2]:23": }}\ndb: {hosts: d}\n', { w1: { ip: 'w1', ssh_port: 23, groups: ['web'] }, w2: { ip: 'w2', ssh_port: 23, groups: ['web'] }, d: { ip: 'd', groups: ['db'] } }],
    ['has booleans as YAML 1.1 has them, and merge keys', 'x: &x {ansible_become: yes}\nall: {hosts: {a: {<<: {ansible_become: on}}}}\n', { a: { ip: 'a', sudo: true } }],
  ]
  it.each(cases)('%s', async (_sentence, text, vms) => {
    expect((await fromAnsible(text)).vms).toEqual(vms)
  })

  it('is told by the ending of the name, or else by being a map', async () => {
    expect((await fromAnsible('{all: {hosts: {a: }}}', {}, 'x.json')).vms).toEqual({ a: { ip: 'a' } })
    await expect(fromAnsible('a\n', {}, 'hosts.yml')).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('expected a map of groups') })
  })
})

describe('group_vars and host_vars', () => {
  it('count before the inventory, each for its own kind', async () => {
    const vars = { 'group_vars/all': 'ansible_user: all\nansible_port: 1\n', 'group_vars/web.yml': 'ansible_port: 2\n', 'host_vars/a.yml': 'ansible_host: 10.0.0.1\n', 'host_vars/b': '{}' }
    const { vms } = await fromAnsible('[web]\na ansible_host=x\nb ansible_port=3\n[web:vars]\nansible_port=9\n', vars)
    expect(vms).toEqual({ a: { ip: '10.0.0.1', ssh_port: 2, ssh_user: 'all', groups: ['web'] }, b: { ip: 'b', ssh_port: 3, ssh_user: 'all', groups: ['web'] } })
  })

  it('that are encrypted are left out, with a notice', async () => {
    const outcome = await fromAnsible('[web]\na\n', { 'group_vars/web.yml': '$ANSIBLE_VAULT;1.1;AES256\n3132\n' })
    expect(outcome).toMatchObject({ vms: { a: { ip: 'a' } }, notices: ['group_vars/web.yml is encrypted and was left out'] })
  })

  it('that are no map are an error', async () => {
    await expect(fromAnsible('a\n', { 'host_vars/a': '- x\n' })).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: 'host_vars/a: expected a map of variables' })
  })
})

describe('what cannot be kept', () => {
  const out: readonly (readonly [sentence: string, text: string, reason: RegExp])[] = [
    ['a host that is this machine', 'x ansible_connection=local\n', /not reached by SSH \(ansible_connection: local\)/],
    ['a host of Windows', 'x ansible_connection=winrm\n', /winrm/],
    ['an address that is a template', 'x ansible_host="{{ lookup }}"\n', /^ansible_host is a template/],
    ['a port that is a template', "x ansible_port='{{ p }}'\n", /^ansible_port is a template/],
    ['an address that is encrypted', 'all: {hosts: {ok: , x: {ansible_host: !vault "$ANSIBLE_VAULT;1.1"}}}\n', /^ansible_host is encrypted/],
    ['a port that is none', 'x:99999\n', /^ssh_port: expected/],
    ['a login that is none', 'x ansible_user="a b"\n', /^ssh_user: expected/],
    ['a name that is a number in YAML', 'all: {hosts: {ok: , 5: }}\n', /put it in quotes/],
  ]
  it.each(out)('%s leaves the host out, with the reason', async (_sentence, text, reason) => {
    const { vms, leftOut } = await fromAnsible(text.startsWith('all') ? text : `ok\n${text}`)
    expect(Object.keys(vms)).toEqual(['ok'])
    expect(Object.values(leftOut)).toEqual([expect.stringMatching(reason)])
  })

  it.each([
    ['an IPv6 address', '[fd00::1]:23\n', 'fd00::1'],
    ['the name all', 'all\n', 'all'],
    ['the name __proto__', '__proto__ x=1\n', '__proto__'],
    ['a name with a control character', 'a\u001bb\n', 'a\u001bb'],
  ])('%s as a name leaves the host out', async (_, text, name) => {
    const { vms, leftOut } = await fromAnsible(`ok\n${text}`)
    expect([vms, leftOut[name]]).toEqual([{ ok: { ip: 'ok' } }, expect.stringContaining('expected a host id')])
  })

  const told: readonly (readonly [sentence: string, text: string, notices: readonly (RegExp | string)[]])[] = [
    ['a login that is a template', "x ansible_user='{{ u }}'\n", ['x: ansible_user is a template and was left out']],
    ['other arguments for ssh, without their values', "x ansible_ssh_common_args='-J g.x -o StrictHostKeyChecking=no -C -i hunter2'\n", ['x: of ansible_ssh_common_args is left out: -o StrictHostKeyChecking, -C, -i']],
    ['passwords', 'x ansible_password=hunter2\n', [/^x: ansible_password is not taken over/]],
    ['a group that cannot be one', '[a+b]\nx\n', [/^x: the group a\+b is left out/]],
    ['becoming by another method', 'x ansible_become=true ansible_become_method=su\n', [/^x: ansible_become is left out: only the method sudo/]],
    ['becoming a user that is a template', "x ansible_become=true ansible_become_user='{{ u }}'\n", [/^x: ansible_become is left out, for ansible_become_user/]],
    ['a key file with a variable', 'x ansible_ssh_private_key_file=$HOME/k\n', [/^x: its key file has a variable/]],
  ]
  it.each(told)('is told: %s', async (_sentence, text, notices) => {
    const outcome = await fromAnsible(text)
    expect(outcome.notices).toEqual(notices.map((notice) => (typeof notice === 'string' ? notice : expect.stringMatching(notice))))
    expect(outcome.vms['x']).toMatchObject({ ip: 'x' })
    expect(JSON.stringify(outcome)).not.toContain('hunter2')
  })

  it('a ProxyCommand leaves the host in, but not enabled', async () => {
    const outcome = await fromAnsible(`a ansible_ssh_common_args='-o ProxyCommand="ssh -W %h:%p gate"'\n`)
    expect(outcome.vms).toEqual({ a: { ip: 'a', enabled: false } })
  })
})

const LAUGHS = ['a: &a {hosts: {x: }}', ...['b', 'c', 'd', 'e', 'f', 'g'].map((name, index) => `${name}: &${name} {children: {${Array.from({ length: 9 }, (_, child) => `${name}${child}: *${'abcdef'.charAt(index)}`).join(', ')}}}`)].join('\n')

describe('an inventory that is wrong', () => {
  const cases: readonly (readonly [sentence: string, text: string, message: RegExp])[] = [
    ['a range that is too long', 'web[0:999999999]\n', /^hosts:1: this stands for more than 10000 hosts/],
    ['ranges that are too long together', 'a\nweb[0:999]x[0:999]\n', /^hosts:2: this stands for more/],
    ['ranges of many lines', `${Array.from({ length: 3 }, (_, index) => `h${index}x[0:4999]`).join('\n')}\n`, /more than 10000 hosts/],
    ['a group that is its own child', '[a:children]\nb\n[b:children]\na\n', /a child of itself/],
    ['a YAML group that is its own child', 'a: {children: {b: {children: {a: }}}}\n', /a child of itself/],
    ['a YAML alias within itself', 'a: &a {children: {b: *a}}\n', /nested|aliases|child of itself/],
    ['aliases that grow beyond all bounds', LAUGHS, /too many aliases|by aliases/],
    ['very deep YAML', `a: ${'{children: {b: '.repeat(5_000)}`, /nested|not valid YAML/],
    ['very deep groups', `${Array.from({ length: 200 }, (_, index) => `[g${index}:children]\ng${index + 1}`).join('\n')}\n[g200]\nx\n`, /nested more than 100 deep/],
    ['a section of an unknown kind', '[a:b]\n', /^hosts:1: a section is/],
    ['a section that is none', '[a b]\n', /^hosts:1: this is no section/],
    ['variables of a group that is not there', '[a:vars]\nx=1\n', /^hosts:1: there is no group a/],
    ['a child that is not there', '[a:children]\nb\n', /^hosts:2: there is no group b/],
    ['an open quote', 'a x="hunter2\n', /^hosts:1: a quote is not closed/],
    ['a word that is no variable', 'a hunter2\n', /^hosts:1: expected a host, and behind it only name=value/],
    ['a program', '#!/usr/bin/python\n', /^hosts: it is a program/],
    ['a plugin', 'plugin: aws_ec2\n', /^hosts: it configures an inventory plugin/],
    ['hosts that are a list', 'all: {hosts: [hunter2]}\n', /"hosts" of the group all is not a map/],
  ]
  it.each(cases)('is an error that does not show its values: %s', async (_sentence, text, message) => {
    // Without an ending, what is no YAML is read as INI.
    const path = /^a: [&{]/.test(text) ? 'hosts.yml' : 'hosts'
    await expect(fromAnsible(text, {}, path)).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) })
    await expect(fromAnsible(text, {}, path)).rejects.not.toMatchObject({ message: expect.stringContaining('hunter2') })
  })
})

describe('a host pattern', () => {
  it.each([
    ['web', ['web'], undefined],
    ['web:22', ['web'], 22],
    ['web[1:3]', ['web1', 'web2', 'web3'], undefined],
    ['web[08:11]', ['web08', 'web09', 'web10', 'web11'], undefined],
    ['web[01:20:6].x', ['web01.x', 'web07.x', 'web13.x', 'web19.x'], undefined],
    ['web[:2]', ['web0', 'web1', 'web2'], undefined],
    ['db-[a:c]', ['db-a', 'db-b', 'db-c'], undefined],
    ['[a:b][1:2]:23', ['a1', 'a2', 'b1', 'b2'], 23],
    ['[fd00::1]:23', ['fd00::1'], 23],
    ['fd00::1', ['fd00::1'], undefined],
  ])('%s is its hosts', (pattern, names, port) => {
    expect(expandHostPattern(pattern)).toEqual({ names, port })
  })

  it.each(['', '---', 'a:', 'a[1:2', 'a1]', 'a[1]', 'a[1:]', 'a[01:100]', 'a[c:a]', 'a[1:z]', 'a[1:2:0]', 'a[1:2:3:4]', 'a[0:99999999999999]', 'a[1:2]'.repeat(17)])('%s is none', (pattern) => {
    expect(() => expandHostPattern(pattern)).toThrow()
  })
})

describe('the words of a line', () => {
  it.each([
    ["a 'b c' d", ['a', 'b c', 'd']],
    ['a"b \\" c"d', ['ab " cd']],
    ["'a\\'b", ['a\\b']],
    ['a\\ b', ['a b']],
    ['a #b', ['a']],
    ['a#b c', ['a']],
    ['a "#b"', ['a', '#b']],
    ["''", ['']],
  ])('%s are split as shlex does', (text, words) => {
    expect(splitWords(text, { comments: true })).toEqual(words)
  })

  it.each(["'", 'a "b', 'a\\'])('%s has an end that is missing', (text) => {
    expect(splitWords(text)).toBeUndefined()
  })
})

describe('arguments for ssh', () => {
  it('give the first way, as ssh takes it', () => {
    expect(readSshArgs('-o ProxyJump=none -J x').jump).toBeUndefined()
    expect(readSshArgs('-4 -o "ProxyJump x" -J y')).toEqual({ jump: 'x', hasProxyCommand: false, others: ['-4'] })
    expect(readSshArgs('-p 23 -oproxycommand=x')).toEqual({ jump: undefined, hasProxyCommand: true, others: ['-p'] })
  })
})

const hasAnsible = spawnSync('ansible-inventory', ['--version']).status === 0

describe.skipIf(!hasAnsible)('ansible-inventory --list (skipped where ansible-inventory is not installed)', () => {
  let folder = ''
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'remex-ansible-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  const cases: readonly (readonly [sentence: string, files: Readonly<Record<string, string>>])[] = [
    ['an INI inventory', { hosts: `# x\nalone:2200 ansible_user=bob # y\n[web]\nweb[01:05:2].example.com ansible_host="10.0.0.1"\n[db]\ndb-[a:c]\ndb-a ansible_port=5\n[prod:children]\nweb\ndb\n[prod:vars]\nansible_user=prod\nansible_port=7\n[db:vars]\nansible_user = "db"\n[all:vars]\nansible_user=all\nansible_host='1.2.3.4'\n` }],
    ['a YAML inventory', { 'hosts.yml': 'all:\n  vars: {ansible_user: all, ansible_port: 022}\n  hosts: {one: , "two[1:3]:99": {ansible_user: two}}\n  children:\n    a: {hosts: {one: }, vars: {ansible_user: a}}\n    b: {children: {c: {hosts: {one: , three: }}}, vars: {ansible_host: b}}\n    z: {vars: {ansible_user: z, ansible_group_priority: -1}, hosts: {one: }}\n' }],
    ['groups with and without a place under all', { 'hosts.yml': 'all: {children: {aa: {hosts: {h: }, vars: {ansible_user: aa}}, ungrouped: {vars: {ansible_port: 5}}}, hosts: {u: }}\nzz: {hosts: {h: }, vars: {ansible_user: zz}}\n', 'group_vars/ungrouped': 'ansible_host: ungrouped' }],
    ['variables in files', { hosts: '[a]\nx ansible_port=1\ny\n[b]\nx\n[b:vars]\nansible_port=9\n', 'group_vars/all.yml': 'ansible_user: all\n', 'group_vars/a/1.yml': 'ansible_port: 2\nansible_host: a\n', 'group_vars/a/2.yml': 'ansible_port: 3\n', 'group_vars/b': 'ansible_user: b\n', 'host_vars/y.yaml': 'ansible_port: 4\n', 'host_vars/x.json': '{"ansible_host": "h"}' }],
  ]
  it.each(cases)('finds the same in %s', async (_sentence, files) => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true })
      await writeFile(join(folder, name), text)
    }
    const inventory = join(folder, Object.keys(files)[0] ?? '')
    const around = { osUser: 'operator', varsFiles: (kind: 'group_vars' | 'host_vars', names: ReadonlySet<string>) => readVarsFiles(folder, kind, names) }
    const { hosts } = await importAnsible(await readSource(inventory, inventory), around)
    const ours = hosts.map(({ id, address, port, login, groups }) => [id, { address, port, login, groups: groups.toSorted() }] as const)
    expect(Object.fromEntries(ours)).toEqual(theirs(inventory))
  })

  type Listed = Record<string, { hosts?: string[]; children?: string[] }> & { _meta: { hostvars: Record<string, Record<string, unknown>> } }

  function theirs(inventory: string): Record<string, object> {
    const { stdout } = spawnSync('ansible-inventory', ['-i', inventory, '--list'], { encoding: 'utf8', timeout: 60_000, env: { ...process.env, ANSIBLE_LOCALHOST_WARNING: 'false' } })
    const { _meta, ...groups } = JSON.parse(stdout) as Listed
    const under = (name: string): string[] => [...(groups[name]?.hosts ?? []), ...(groups[name]?.children ?? []).flatMap(under)]
    const hosts = new Set(under('all'))
    return Object.fromEntries([...hosts].map((host) => {
      const vars = _meta.hostvars[host] ?? {}
      const its = Object.keys(groups).filter((name) => !['all', 'ungrouped'].includes(name) && under(name).includes(host))
      return [host, { address: vars['ansible_host'] ?? host, port: vars['ansible_port'], login: vars['ansible_user'], groups: its.toSorted() }]
    }))
  }
})
