import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { RemexError } from '../../src/core/errors.ts'

let root = ''
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'remex-config-errors-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

/** The message of CONFIG_INVALID for a file with this text. */
async function problem(text: string): Promise<string> {
  await writeFile(join(root, 'c.yml'), text)
  const around = { env: {}, cwd: root, home: root, osUser: 'operator' }
  const error: unknown = await loadConfig({ ...around, path: 'c.yml' }).then(
    () => new Error('it was accepted'),
    (reason: unknown) => reason,
  )
  if (!(error instanceof RemexError)) throw error
  expect(error.code).toBe('CONFIG_INVALID')
  return error.message
}

const inVm = (line: string): string => `vms:\n  vm01:\n    ip: 10.0.0.1\n    ${line}\n`
const inSettings = (line: string): string => `vms:\n  vm01:\n    ip: 10.0.0.1\nremote_execution:\n  ${line}\n`
const inRule = (line: string): string => `vms: {vm01: {ip: a, role: web}}\npolicy:\n  rules:\n    - effect: allow\n      ${line}\n`

describe('an error of a host', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      'names file, line, column, key, what was expected and what was there',
      inVm('ssh_port: 70000'),
      'c.yml:4:15: vms.vm01.ssh_port: expected a whole number from 1 to 65535, got the number 70000',
    ],
    ['suggests the nearest key', inVm('ssh_prot: 22'), 'c.yml:4:5: vms.vm01.ssh_prot: unknown key; did you mean ssh_port?'],
    ['lists the keys where none is near', inVm('colour: red'), 'c.yml:4:5: vms.vm01.colour: unknown key; known here: name, ip,'],
    ['refuses port 0', inVm('ssh_port: 0'), '4:15: vms.vm01.ssh_port: expected a whole number from 1 to 65535, got the number 0'],
    ['refuses a port that is no whole number', inVm('ssh_port: 22.5'), 'got the number 22.5'],
    ['refuses a port in quotes', inVm('ssh_port: "22"'), 'got the text "22"'],
    [
      'refuses the text "false" for enabled',
      inVm('enabled: "false"'),
      '4:14: vms.vm01.enabled: expected true or false, got the text "false"',
    ],
    ['refuses 0 for enabled', inVm('enabled: 0'), 'vms.vm01.enabled: expected true or false, got the number 0'],
    ['refuses a null entry', 'vms:\n  vm01:\n', 'c.yml:2:3: vms.vm01: expected a map of settings with at least "ip", got nothing'],
    [
      'refuses an entry that is a text',
      'vms:\n  vm01: 10.0.0.1\n',
      '2:9: vms.vm01: expected a map of settings with at least "ip", got the text "10.0.0.1"',
    ],
    [
      'refuses an entry without ip',
      'vms:\n  vm01:\n    ssh_port: 22\n',
      '2:3: vms.vm01.ip: missing; expected an IPv4 or IPv6 address or a host name',
    ],
    [
      'refuses an empty ip',
      'vms: {vm01: {ip: ""}}',
      '1:18: vms.vm01.ip: expected an IPv4 or IPv6 address or a host name, got an empty text',
    ],
    ['refuses an ip that is a number', 'vms: {vm01: {ip: 10.0}}', 'got the number 10; put it in quotes'],
    ['refuses a mistyped IPv4 address', 'vms: {vm01: {ip: 10.0.0.300}}', 'got the text "10.0.0.300"'],
    ['refuses a mistyped IPv6 address', 'vms: {vm01: {ip: "2001::db8::1"}}', 'vms.vm01.ip: expected'],
    ['refuses an address with a port', 'vms: {vm01: {ip: "10.0.0.1:22"}}', 'vms.vm01.ip: expected'],
    ['refuses an address that could be read as an option', 'vms: {vm01: {ip: "-oProxyCommand=id"}}', 'vms.vm01.ip: expected'],
    ['refuses a login that could be read as an option', inVm('ssh_user: -oProxyCommand=id'), 'vms.vm01.ssh_user: expected a login name'],
    ['refuses a login with a space', inVm('ssh_user: a b'), 'vms.vm01.ssh_user: expected a login name'],
    ['refuses an id with a space', 'vms: {"a b": {ip: a}}', '1:7: vms.a b: expected a host id:'],
    ['refuses an id that leaves its directory', 'vms: {"../../etc/passwd": {ip: a}}', 'vms.../../etc/passwd: expected a host id'],
    ['refuses the id all', 'vms: {all: {ip: a}}', '1:7: vms.all: expected a host id'],
    [
      'refuses an id that is a number to YAML',
      'vms:\n  001: {ip: a}\n',
      '2:3: vms.1: expected a host id as text, got 001; put it in quotes',
    ],
    ['refuses an id that is a boolean to YAML', 'vms:\n  no: {ip: a}\n', 'got no; put it in quotes'],
    ['refuses an id that is nothing', 'vms:\n  ? \n  : {ip: a}\n', 'put it in quotes'],
    ['refuses an id that objects treat in their own way', 'vms: {vm01: {ip: a}, __proto__: {ip: a}}', 'vms.__proto__: expected a host id'],
    ['refuses a key that objects treat in their own way', 'vms: {vm01: {ip: a, __proto__: {ip: b}}}', 'vms.vm01.__proto__: unknown key'],
    ['refuses an id that is too long for a file name', `vms: {${'x'.repeat(129)}: {ip: a}}`, 'expected a host id'],
    ['refuses groups that are a text', inVm('groups: lab'), 'vms.vm01.groups: expected a list of group names, got the text "lab"'],
    ['refuses a group name that no expression could name', inVm('groups: ["a,b"]'), '4:14: vms.vm01.groups[0]: expected a group name'],
    [
      'refuses a fingerprint that is too short',
      inVm('host_key: SHA256:abc'),
      'vms.vm01.host_key: expected a SHA256:… fingerprint, or a public key',
    ],
    ['refuses an MD5 fingerprint', inVm('host_key: "MD5:00:11"'), 'vms.vm01.host_key: expected'],
    [
      'refuses a public key that says one type and is another',
      inVm('host_key: ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ1Bz4fyhzBNdB3h8EEs6cQKVzCSqOEzZtT4JtFvQnEZ'),
      'vms.vm01.host_key: expected',
    ],
    [
      'names the wrong one of several host keys',
      inVm('host_key: ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", x]'),
      '4:70: vms.vm01.host_key[1]: expected a SHA256',
    ],
    ['refuses an empty list of host keys, which would look like no check', inVm('host_key: []'), 'vms.vm01.host_key: expected'],
    [
      'refuses a jump to a host that is not there',
      inVm('jump: vm10'),
      '4:11: vms.vm01.jump: vm10 is not a host of this file; did you mean vm01?',
    ],
    ['refuses a jump that is no address', inVm('jump: "a@b@c"'), 'vms.vm01.jump: expected a host of this file'],
    ['refuses a jump to port 0', inVm('jump: "b.example:0"'), 'vms.vm01.jump: expected a host of this file'],
    ['refuses a jump to itself', inVm('jump: vm01'), 'vms.vm01.jump: the jumps go in a circle: vm01 → vm01'],
    ['refuses a chain of jumps with a host that is not there', inVm('jump: "a.example,vm10"'), 'vms.vm01.jump: vm10 is not a host of this file; did you mean vm01?'],
    ['refuses an empty hop', inVm('jump: "a.example,,b.example"'), 'vms.vm01.jump: expected a host of this file'],
    ['refuses a chain of jumps in a circle', 'vms: {a: {ip: a, jump: "x@y,b"}, b: {ip: b, jump: "c,a"}, c: {ip: c, jump: "b,a"}}', 'vms.c.jump: the jumps go in a circle'],
    [
      'refuses jumps in a circle',
      'vms: {a: {ip: a, jump: b}, b: {ip: b, jump: c}, c: {ip: c, jump: a}}',
      'vms.a.jump: the jumps go in a circle: a → b → c → a',
    ],
    [
      'refuses the home directory of somebody else',
      inVm('identity_file: ~alice/key'),
      'vms.vm01.identity_file: expected a path; of "~" only "~/…" is known',
    ],
    ['refuses an engine that is not there', inVm('engine: paramiko'), 'expected auto, ssh2 or openssh, got the text "paramiko"'],
    ['refuses a path as the name in ssh_config, and names the key that is meant', inVm('ssh_config: ~/.ssh/config'), '4:17: vms.vm01.ssh_config: expected true, false or a host’s name; the path of an ssh_config is ssh_config_path of remote_execution, got'],
    ['refuses an alias that could be read as an option', inVm('ssh_config: -oProxyCommand=id'), 'vms.vm01.ssh_config: expected true, false (without quotes) or the name'],
    ['refuses an alias with a space', inVm('ssh_config: a b'), 'vms.vm01.ssh_config: expected'],
    ['refuses an alias with a control character', inVm(String.raw`ssh_config: "a\eb"`), 'vms.vm01.ssh_config: expected'],
    ['refuses an alias of which ssh would take a login', inVm('ssh_config: ada@db'), 'vms.vm01.ssh_config: expected'],
    ['refuses an alias that a shell would read, as ssh does', inVm('ssh_config: "db`id`"'), 'vms.vm01.ssh_config: expected'],
    ['refuses an empty alias', inVm('ssh_config: ""'), 'vms.vm01.ssh_config: expected'],
    ['refuses a flag in quotes, which would become an alias of that name', inVm('ssh_config: "yes"'), 'vms.vm01.ssh_config: expected true, false (without quotes)'],
    ['refuses ssh_config without a value', inVm('ssh_config:'), 'vms.vm01.ssh_config: expected true, false (without quotes) or the name'],
    ['refuses ssh_config with the engine ssh2', inVm('ssh_config: true\n    engine: ssh2'), 'c.yml:4:5: vms.vm01.ssh_config: only the engine openssh knows it, and this host has engine: ssh2'],
    ['refuses a certificate with the engine ssh2', inVm('identity_certificate: c\n    engine: ssh2'), '4:5: vms.vm01.identity_certificate: only the engine openssh knows it'],
    ['refuses ssh_config with ssh2 as the engine of all hosts', `${inVm('ssh_config: db')}remote_execution: {engine: ssh2}\n`, '4:5: vms.vm01.ssh_config: only the engine openssh knows it'],
    ['refuses a host with ssh2 where post-quantum key exchange is required', `${inVm('engine: ssh2')}remote_execution: {require_post_quantum: true}\n`, '4:13: vms.vm01.engine: engine: ssh2 has no key exchange that resists quantum computers, and require_post_quantum is true'],
    ['refuses sudo as an option', inVm('sudo: -u'), 'vms.vm01.sudo: expected'],
    [
      'refuses sudo as a flag in quotes, which would become a user of that name',
      inVm('sudo: "false"'),
      'vms.vm01.sudo: expected true, false (without quotes) or a user name',
    ],
    ['refuses an id that is a number behind an alias', 'x: &x {001: {ip: a}}\nvms: *x\n', 'got 001; put it in quotes'],
    ['refuses a file without hosts', 'vms: {}', '1:1: vms: expected at least one host, got an empty map'],
    ['refuses a file without the section', 'remote_execution: {}', 'vms: missing; expected a map of hosts'],
    ['refuses hosts as a list', 'vms: [vm01]', 'vms: expected a map of hosts, got a list'],
  ]
  it.each(cases)('%s', async (_sentence, text, message) => {
    expect(await problem(text)).toContain(message)
  })
})

describe('an error of remote_execution', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      'suggests the nearest key',
      'default_timeot: 30',
      'c.yml:5:3: remote_execution.default_timeot: unknown key; did you mean default_timeout?',
    ],
    ['suggests a key by its part', 'parallel: 5', 'did you mean max_parallel_commands?'],
    ['refuses a duration of zero', 'default_timeout: 0', '5:20: remote_execution.default_timeout: expected a duration of at least 1ms'],
    ['refuses a duration with an unknown unit', 'connect_timeout: 1d', 'remote_execution.connect_timeout: expected a duration'],
    ['refuses a negative duration', 'keepalive_interval: -1', 'remote_execution.keepalive_interval: expected a duration'],
    ['refuses a duration that no timer can wait for', 'default_timeout: 1000h', 'expected a duration'],
    ['refuses infinity, which is written none', 'default_timeout: .inf', 'expected a duration'],
    ['refuses no attempts', 'default_retry: 0', 'remote_execution.default_retry: expected a whole number from 1 to 100, got the number 0'],
    ['refuses half an attempt', 'default_retry: 1.5', 'got the number 1.5'],
    ['refuses a null allow-list', 'allowed_vm_ids:', '5:3: remote_execution.allowed_vm_ids: expected a list of host ids, got nothing'],
    [
      'refuses a bare text as allow-list',
      'allowed_vm_ids: vm01',
      'remote_execution.allowed_vm_ids: expected a list of host ids, got the text "vm01"',
    ],
    [
      'refuses an unknown id in the allow-list',
      'allowed_vm_ids: [vm01, vm1]',
      '5:26: remote_execution.allowed_vm_ids[1]: vm1 is not a host of this file; did you mean vm01?',
    ],
    [
      'refuses a vault by name',
      'key_storage_type: vault',
      'remote_execution.key_storage_type: expected encrypted_dir; other kinds of key storage are not in this version, got the text "vault"',
    ],
    [
      'refuses a database for the audit log by name',
      'audit_log_destination: database',
      'expected file; other destinations of the audit log are not in this version, got the text "database"',
    ],
    ['refuses another checksum', 'checksum_algorithm: md5', 'remote_execution.checksum_algorithm: expected sha256, got the text "md5"'],
    ['refuses no parallel commands', 'max_parallel_commands: 0', 'expected a whole number from 1 to'],
    ['refuses an output limit that no result could hold', 'max_output_bytes: 10000000000', 'expected a whole number from 0 to 268435456'],
    ['refuses an empty list of known_hosts files', 'known_hosts_path: []', 'remote_execution.known_hosts_path: expected'],
    ['refuses a pattern of secrets that is no regular expression', "secret_patterns: [ok, '(']", '5:25: remote_execution.secret_patterns[1]: expected a regular expression as JavaScript has them, got a value that is not shown here'],
    ['refuses a pattern of secrets that matches the empty text', "secret_patterns: ['x*']", '5:21: remote_execution.secret_patterns[0]: expected a regular expression as JavaScript has them that does not match the empty text, got'],
    ['refuses one pattern of secrets outside of a list', 'secret_patterns: x', 'remote_execution.secret_patterns: expected a list of regular expressions, got a value that is not shown here'],
    ['refuses a pattern of secrets that is a number', 'secret_patterns: [1234]', 'expected a regular expression as JavaScript has them, got a value that is not shown here; put it in quotes'],
    ['refuses an empty path', 'key_storage_path: ""', 'remote_execution.key_storage_path: expected a path'],
    ['refuses a path with a control character', 'audit_log_path: "a\\u001bb"', 'remote_execution.audit_log_path: expected a path'],
    ['refuses ssh2 for all hosts where post-quantum key exchange is required', 'require_post_quantum: true\n  engine: ssh2', '6:11: remote_execution.engine: engine: ssh2 has no key exchange that resists quantum computers'],
    ['refuses ssh_config for all hosts', 'ssh_config: true', 'remote_execution.ssh_config: unknown key; did you mean ssh_config_path?'],
    ['refuses a text for a flag', 'require_post_quantum: maybe', 'expected true or false, got the text "maybe"'],
  ]
  it.each(cases)('%s', async (_sentence, line, message) => {
    expect(await problem(inSettings(line))).toContain(message)
  })
})

describe('an error of policy', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      'refuses an empty section, which could mean two things',
      'vms: {vm01: {ip: a}}\npolicy:\n',
      '2:1: policy: expected a map with "rules", got nothing',
    ],
    ['refuses a section without rules', 'vms: {vm01: {ip: a}}\npolicy: {}\n', 'policy.rules: missing; expected a list of rules'],
    ['refuses an unknown key', inRule('user: [alice]'), '5:7: policy.rules[0].user: unknown key; did you mean users?'],
    [
      'refuses an unknown effect',
      'vms: {vm01: {ip: a}}\npolicy: {rules: [{effect: permit}]}\n',
      'policy.rules[0].effect: expected allow, deny or ask, got the text "permit"',
    ],
    ['refuses a bare text for users', inRule('users: alice'), 'policy.rules[0].users: expected a list of user names, got the text "alice"'],
    [
      'refuses an empty list, which could mean any or none',
      inRule('users: []'),
      'expected a list of user names with at least one entry, got an empty list',
    ],
    [
      'refuses an unknown operation',
      inRule('operations: [execute]'),
      'policy.rules[0].operations[0]: expected one of run, script, upload, download',
    ],
    [
      'refuses a command that is one text',
      inRule('commands: ["df -h"]'),
      'policy.rules[0].commands[0]: expected a list of words, got the text "df -h"',
    ],
    ['refuses a word that is a number', inRule('commands: [[kill, -9]]'), '5:25: policy.rules[0].commands[0][1]: expected text in which'],
    [
      'refuses * as a part of a word, which would not do what it seems to',
      inRule('commands: [[systemctl, "stat*"]]'),
      'commands[0][1]: expected text in which "*" stands alone',
    ],
    ['refuses ** before the end', inRule('commands: [["**", df]]'), 'commands[0]: expected "**" as the last word only'],
    [
      'refuses an expression with a host that is not there',
      inRule('hosts: [vm01, vm07]'),
      '5:21: policy.rules[0].hosts[1]: vm07: no such host',
    ],
    ['refuses an expression with a group that is not there', inRule('hosts: ["@wep"]'), '@wep: no host has this group or role'],
    ['refuses an expression that cannot be read', inRule('hosts: ["vm[1"]'), 'policy.rules[0].hosts[0]: targets "vm[1"'],
    ['refuses * in a list of those who are spoken for', inRule('speaks_for: [alice, "*"]'), 'policy.rules[0].speaks_for[1]: expected a list of user names, or "*" alone for anybody, got the text "*"'],
    ['refuses a bare name of who is spoken for', inRule('speaks_for: alice'), 'policy.rules[0].speaks_for: expected a list of user names, or "*" alone'],
    ['refuses approvers where nothing is asked', inRule('approvers: [bob]'), '5:7: policy.rules[0].approvers: means nothing beside effect: allow'],
    ['refuses an expiry where nothing is asked', inRule('expires: 1h'), 'policy.rules[0].expires: means nothing beside effect: allow'],
    ['refuses speaks_for beside deny', 'vms: {vm01: {ip: a}}\npolicy: {rules: [{effect: deny, speaks_for: "*"}]}\n', 'policy.rules[0].speaks_for: means nothing beside effect: deny'],
    ['refuses a request that never expires', 'vms: {vm01: {ip: a}}\npolicy: {rules: [{effect: ask, expires: none}]}\n', 'policy.rules[0].expires: expected a duration of at least 1ms: 500ms, 30s, 5m, 2h or a number of seconds, got the text "none"'],
    ['refuses a path that is none', 'vms: {vm01: {ip: a}}\npolicy: {rules: [], approvals_path: ~bob/x}\n', 'policy.approvals_path: expected a path'],
    ['refuses a text for shell', inRule('shell: "true"'), 'policy.rules[0].shell: expected true or false'],
    [
      'refuses a section whose name is nearly policy, since without it all would be allowed',
      'vms: {vm01: {ip: a}}\npolciy: {rules: []}\n',
      '2:1: polciy: unknown key; did you mean policy?',
    ],
    ['refuses policies for policy', 'vms: {vm01: {ip: a}}\npolicies: {rules: []}\n', 'policies: unknown key; did you mean policy?'],
    [
      'refuses a section whose name is nearly remote_execution',
      'vms: {vm01: {ip: a}}\nremote_executon: {}\n',
      'did you mean remote_execution?',
    ],
  ]
  it.each(cases)('%s', async (_sentence, text, message) => {
    expect(await problem(text)).toContain(message)
  })
})

/** Each line ten times the one above: a million values from a few hundred characters. */
const LAUGHS = ['a: &a [x,x,x,x,x,x,x,x,x,x]']
  .concat(['b', 'c', 'd', 'e', 'f'].map((name, index) => `${name}: &${name} [${`*${'abcde'.charAt(index)},`.repeat(10)}]`))
  .concat('vms: {vm01: {ip: a}}')
  .join('\n')

describe('an error of the YAML', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['refuses an empty file', '', /^c\.yml:1:1: it is empty; expected a section "vms"$/],
    ['refuses a file of comments', '# nothing\n', /it is empty/],
    ['refuses a file that is one text', 'vm01\n', /expected sections, first of all "vms"/],
    ['refuses two documents', 'vms: {vm01: {ip: a}}\n---\nvms: {}\n', /c\.yml:\d+:1: not valid YAML: Source contains multiple documents/],
    [
      'refuses a key that is there twice',
      'vms:\n  vm01: {ip: a}\n  vm01: {ip: b}\n',
      /^c\.yml:3:3: this key is there twice in the same map$/,
    ],
    ['refuses a tab', 'vms:\n\tvm01: {ip: a}\n', /^c\.yml:2:1: not valid YAML: Tabs/],
    ['refuses an alias without an anchor', 'vms: {vm01: *nobody}\n', /an alias in it has no anchor/],
    [
      'refuses aliases that grow beyond all bounds',
      LAUGHS,
      /too many aliases/,
    ],
    ['refuses a merge key that names no map', 'vms: {vm01: {<<: 5, ip: a}}\n', /"<<" wants a map/],
    ['refuses nesting beyond all bounds', `vms: ${'['.repeat(50_000)}`, /nested too deeply|not valid YAML/],
  ]
  it.each(cases)('%s', async (_sentence, text, message) => {
    expect(await problem(text)).toMatch(message)
  })
})

describe('an error message', () => {
  it('names all problems of a file, in its order', async () => {
    const policy = 'policy:\n  rules:\n    - effect: permit\n'
    const vms = 'vms:\n  vm01:\n    ip: ""\n    ssh_prot: 1\n  vm02:\n'
    const message = await problem(`${policy}${vms}remote_execution:\n  default_retry: 0\n`)
    const places = message.split('\n').map((line) => line.trim().split(' ')[0])
    expect(places).toEqual(['c.yml', 'c.yml:3:15:', 'c.yml:6:9:', 'c.yml:7:5:', 'c.yml:8:3:', 'c.yml:10:18:'])
    expect(message).toMatch(/^c\.yml has 5 problems:\n/)
  })

  it('says once of many hosts that their common engine cannot do what is required', async () => {
    const hosts = Array.from({ length: 5 }, (_, index) => `  vm${index}: {ip: a}\n`).join('')
    expect(await problem(`vms:\n${hosts}remote_execution: {engine: ssh2, require_post_quantum: true}\n`)).toMatch(/^c\.yml:7:28: remote_execution\.engine: .*require_post_quantum is true/)
  })

  it('lists the first 20 of many problems', async () => {
    const message = await problem(`vms:\n${Array.from({ length: 50 }, (_, index) => `  vm${index}: {}\n`).join('')}`)
    expect(message.split('\n')).toHaveLength(22)
    expect(message).toMatch(/^c\.yml has 50 problems:/)
    expect(message).toMatch(/and 30 more$/)
  })

  it('has one problem for one mistake', async () => {
    expect(await problem(inVm('ssh_port: -1.5'))).not.toContain('\n')
  })

  const secrets: readonly (readonly [string, string])[] = [
    ['the value of an unknown key', inVm('password: hunter2')],
    ['the value of a key that looks secret', 'vms: {vm01: {ip: a, host_key: hunter2}}'],
    ['a private key in the wrong place', inVm('name: {x: 1}\n    identity_file: "-----BEGIN OPENSSH PRIVATE KEY-----\\nhunter2"')],
    ['the line of a syntax error', 'database:\n  password: "x" hunter2\nvms: {}\n'],
    ['the token of a syntax error', 'vms: {vm01: {ip: a}}\n}\nhunter2\n'],
    ['a duplicate key’s values', 'database: {password: hunter2, password: hunter2}\nvms: {vm01: {ip: a}}\n'],
  ]
  it.each(secrets)('never shows %s', async (_name, text) => {
    expect(await problem(text)).not.toContain('hunter2')
  })

  it('shows control characters of the file as escapes, and cuts long values', async () => {
    const message = await problem(`vms: {vm01: {ip: "\\e[31m${'x'.repeat(5000)}"}, "\\e[2J": {ip: a}}`)
    expect(message).not.toContain('\u001b')
    expect(message.length).toBeLessThan(1000)
  })
})
