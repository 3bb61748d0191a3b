import { spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig, type ConfigSource } from '../../src/config/load.ts'
import type { Config } from '../../src/config/types.ts'
import { RemexError } from '../../src/core/errors.ts'

let root = ''
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'remex-config-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

const around = (): ConfigSource => ({ env: {}, cwd: root, home: join(root, 'home'), osUser: 'operator' })

async function write(name: string, text: string | Buffer): Promise<string> {
  const path = join(root, name)
  await mkdir(join(path, '..'), { recursive: true })
  await writeFile(path, text)
  return path
}

const oneHost = (id: string): string => `vms:\n  ${id}: {ip: 10.0.0.1}\n`
const loadText = async (text: string | Buffer): Promise<Config> => loadConfig({ ...around(), path: await write('c.yml', text) })
const ids = (config: Config): string[] => [...config.hosts.keys()]

async function failure(loading: Promise<Config>): Promise<RemexError> {
  const error: unknown = await loading.then(
    () => new Error('it was accepted'),
    (reason: unknown) => reason,
  )
  if (error instanceof RemexError) return error
  throw error
}

const invalid = (message: RegExp): object => ({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) as string })

describe('where loadConfig looks', () => {
  it('takes the file that is named before all others', async () => {
    await write('configs/config.yml', oneHost('here'))
    await write('env.yml', oneHost('env'))
    const path = await write('named.yml', oneHost('named'))
    const config = await loadConfig({ ...around(), path, env: { REMEX_CONFIG: join(root, 'env.yml') } })
    expect(ids(config)).toEqual(['named'])
    expect(config.path).toBe(path)
  })

  it('takes $REMEX_CONFIG before configs/config.yml', async () => {
    await write('configs/config.yml', oneHost('here'))
    await write('env.yml', oneHost('env'))
    expect(ids(await loadConfig({ ...around(), env: { REMEX_CONFIG: 'env.yml' } }))).toEqual(['env'])
  })

  it('takes configs/config.yml here before the one of the home directory', async () => {
    await write('configs/config.yml', oneHost('here'))
    await write('home/.config/remex/config.yml', oneHost('home'))
    expect(ids(await loadConfig({ ...around(), env: { REMEX_CONFIG: '' } }))).toEqual(['here'])
  })

  it('takes the one of the home directory last', async () => {
    await write('home/.config/remex/config.yml', oneHost('home'))
    expect(ids(await loadConfig(around()))).toEqual(['home'])
  })

  it('expands ~ in a path that no shell has expanded', async () => {
    await write('home/my.yml', oneHost('home'))
    expect(ids(await loadConfig({ ...around(), env: { REMEX_CONFIG: '~/my.yml' } }))).toEqual(['home'])
  })

  it('says where it looked when there is none', async () => {
    const error = await failure(loadConfig(around()))
    expect(error.code).toBe('CONFIG_NOT_FOUND')
    expect(error.message).toContain(join(root, 'configs/config.yml'))
    expect(error.message).toContain(join(root, 'home/.config/remex/config.yml'))
    expect(error.message).toContain('$REMEX_CONFIG')
    expect(error.hint).toContain('remex init')
  })

  it('never replaces a named file that is missing by another', async () => {
    await write('configs/config.yml', oneHost('here'))
    const named = await failure(loadConfig({ ...around(), path: 'typo.yml' }))
    expect(named).toMatchObject({ code: 'CONFIG_NOT_FOUND', message: expect.stringContaining(join(root, 'typo.yml')) })
    const byEnv = await failure(loadConfig({ ...around(), env: { REMEX_CONFIG: 'typo.yml' } }))
    expect(byEnv).toMatchObject({ code: 'CONFIG_NOT_FOUND', message: expect.stringContaining('$REMEX_CONFIG') })
    const empty = await failure(loadConfig({ ...around(), path: '' }))
    expect(empty).toMatchObject({ code: 'CONFIG_NOT_FOUND', message: expect.stringContaining('empty name') })
  })

  it('reads a pipe, as a shell makes of --config <(…)', async () => {
    const pipe = join(root, 'pipe')
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0)
    const [config] = await Promise.all([loadConfig({ ...around(), path: pipe }), writeFile(pipe, oneHost('piped'))])
    expect(ids(config)).toEqual(['piped'])
  })
})

describe('what loadConfig cannot read', () => {
  it('refuses a directory', async () => {
    await mkdir(join(root, 'configs/config.yml'), { recursive: true })
    const error = await failure(loadConfig(around()))
    expect(error).toMatchObject(invalid(/configs\/config\.yml cannot be read: it is a directory/))
  })

  it('does not pass over a file that is there but cannot be read', async () => {
    await write('home/.config/remex/config.yml', oneHost('home'))
    await mkdir(join(root, 'configs'))
    await symlink('config.yml', join(root, 'configs/config.yml'))
    expect(await failure(loadConfig(around()))).toMatchObject(invalid(/cannot be read: its symbolic links/))
  })

  it.runIf(process.getuid?.() !== 0)('refuses a file without permission to read it', async () => {
    const path = await write('c.yml', oneHost('vm01'))
    await chmod(path, 0)
    expect(await failure(loadConfig({ ...around(), path }))).toMatchObject(invalid(/cannot be read: permission denied/))
  })

  it('refuses a file that is not UTF-8', async () => {
    const error = await failure(loadText(Buffer.from('vms: {vm01: {ip: 10.0.0.1, name: "\xe9"}}', 'latin1')))
    expect(error).toMatchObject(invalid(/not UTF-8/))
  })

  it('refuses a file that has no end', async () => {
    expect(await failure(loadConfig({ ...around(), path: '/dev/zero' }))).toMatchObject(invalid(/larger than 16 MiB/))
  })

  it('reads a file with a byte order mark and Windows line ends', async () => {
    expect(ids(await loadText('\uFEFFvms:\r\n  vm01:\r\n    ip: 10.0.0.1\r\n'))).toEqual(['vm01'])
  })
})

describe('defaults', () => {
  it('are those of the documentation', async () => {
    const config = await loadText(oneHost('vm01'))
    const state = join(root, 'home/.local/state/remex')
    expect(config.hosts.get('vm01')).toEqual({
      id: 'vm01',
      name: '',
      address: '10.0.0.1',
      port: 22,
      login: 'operator',
      role: '',
      enabled: true,
      groups: [],
      hostKeys: [],
      identityFile: undefined,
      identityCertificate: undefined,
      sshConfig: undefined,
      jump: undefined,
      engine: 'auto',
      sudo: false,
    })
    expect(config.settings).toEqual({
      defaultTimeoutMs: 30_000,
      defaultRetry: 3,
      keyStoragePath: join(root, 'home/.ssh/th_timmy_keys'),
      keyStorageConfigured: false,
      keyRotationDays: 90,
      checksumAlgorithm: 'sha256',
      allowedVmIds: undefined,
      maxParallel: 32,
      poolSize: 10,
      connectTimeoutMs: 10_000,
      keepaliveIntervalMs: 15_000,
      maxOutputBytes: 10_485_760,
      maxRunOutputBytes: 1_073_741_824,
      sshConfigPath: undefined,
      knownHostsPaths: [join(state, 'known_hosts'), join(root, 'home/.ssh/known_hosts')],
      auditPath: join(state, 'audit'),
      auditRotateBytes: 67_108_864,
      auditRotateAgeMs: 86_400_000,
      auditRetentionDays: 90,
      recordOutput: false,
      outputRetentionDays: 30,
      secretPatterns: [],
      engine: 'auto',
      requirePostQuantum: false,
    })
    expect(config.policy).toBeUndefined()
  })

  it('take the state directory from the environment', async () => {
    const path = await write('c.yml', oneHost('vm01'))
    const { settings } = await loadConfig({ ...around(), path, env: { REMEX_STATE_DIR: '/var/lib/remex' } })
    expect(settings.auditPath).toBe('/var/lib/remex/audit')
    expect(settings.knownHostsPaths[0]).toBe('/var/lib/remex/known_hosts')
  })

  it('stand in for a section of which every line is a comment', async () => {
    const { settings } = await loadText(`${oneHost('vm01')}remote_execution:\n  # default_retry: 5\n`)
    expect(settings.defaultRetry).toBe(3)
  })

  it('take the engine of a host from remote_execution where the host does not say', async () => {
    const config = await loadText('vms: {vm01: {ip: a}, vm02: {ip: b, engine: auto}}\nremote_execution: {engine: ssh2}\n')
    expect([...config.hosts.values()].map(({ engine }) => engine)).toEqual(['ssh2', 'auto'])
  })

  it('let a host choose by what it needs where the others are served by ssh2', async () => {
    const config = await loadText('vms: {vm01: {ip: a, engine: auto, ssh_config: true}, vm02: {ip: b}}\nremote_execution: {engine: ssh2}\n')
    expect([...config.hosts.values()].map(({ engine }) => engine)).toEqual(['auto', 'ssh2'])
  })

  it('keep the hosts in the order of the file', async () => {
    expect(ids(await loadText('vms:\n  b: {ip: b}\n  c10: {ip: x}\n  a: {ip: a}\n  c9: {ip: a}\n'))).toEqual(['b', 'c10', 'a', 'c9'])
  })
})

describe('what loadConfig makes of values', () => {
  const settings: readonly (readonly [string, string, keyof Config['settings'], unknown])[] = [
    ['reads a bare number as seconds', 'default_timeout: 45', 'defaultTimeoutMs', 45_000],
    ['reads a duration with a unit', 'default_timeout: 5m', 'defaultTimeoutMs', 300_000],
    ['reads a number in quotes as seconds', 'connect_timeout: "7"', 'connectTimeoutMs', 7000],
    ['reads none as no limit', 'keepalive_interval: none', 'keepaliveIntervalMs', Infinity],
    ['takes one known_hosts file', 'known_hosts_path: /etc/kh', 'knownHostsPaths', ['/etc/kh']],
    ['takes a list of known_hosts files', 'known_hosts_path: [/a, /b]', 'knownHostsPaths', ['/a', '/b']],
    ['expands ~ in ssh_config_path', 'ssh_config_path: ~/.ssh/fleet', 'sshConfigPath', expect.stringMatching(/home\/\.ssh\/fleet$/)],
    ['notes that the key directory was configured', 'key_storage_path: /keys', 'keyStorageConfigured', true],
    ['takes the allow-list', 'allowed_vm_ids: [vm01]', 'allowedVmIds', ['vm01']],
    ['takes an empty allow-list as nobody', 'allowed_vm_ids: []', 'allowedVmIds', []],
    ['takes patterns of secrets', "secret_patterns: ['--token (.+)', 'a/b']", 'secretPatterns', [/--token (.+)/, /a\/b/]],
    ['takes YAML 1.1 booleans, as the original did', 'require_post_quantum: on', 'requirePostQuantum', true],
    ['loads the original’s key_storage_type', 'key_storage_type: encrypted_dir', 'keyStorageConfigured', false],
  ]
  it.each(settings)('%s', async (_sentence, line, key, value) => {
    const config = await loadText(`${oneHost('vm01')}remote_execution:\n  ${line}\n`)
    expect(config.settings[key]).toEqual(value)
  })

  it('expands ~ and resolves relative paths from where it was started', async () => {
    const section = 'remote_execution: {key_storage_path: ~/keys, audit_log_path: audit, known_hosts_path: ./kh}\n'
    expect((await loadText(oneHost('vm01') + section)).settings).toMatchObject({
      keyStoragePath: join(root, 'home/keys'),
      auditPath: join(root, 'audit'),
      knownHostsPaths: [join(root, 'kh')],
    })
  })

  const blob = 'AAAAC3NzaC1lZDI1NTE5AAAAIJ1Bz4fyhzBNdB3h8EEs6cQKVzCSqOEzZtT4JtFvQnEZ'
  const print = 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'
  const vms: readonly (readonly [string, string, object])[] = [
    ['takes an IPv6 address', 'ip: "2001:db8::1"', { address: '2001:db8::1' }],
    ['takes an IPv6 address in brackets', 'ip: "[2001:db8::1]"', { address: '2001:db8::1' }],
    ['takes an IPv6 address with a zone', 'ip: fe80::1%eth0', { address: 'fe80::1%eth0' }],
    ['takes a host name', 'ip: db-1.example.org', { address: 'db-1.example.org' }],
    ['takes a host name that is not ASCII', 'ip: büro.example', { address: 'büro.example' }],
    ['takes one fingerprint', `ip: a, host_key: "${print}"`, { hostKeys: [print] }],
    ['takes a public key and drops its comment', `ip: a, host_key: ssh-ed25519 ${blob} root@vm01`, { hostKeys: [`ssh-ed25519 ${blob}`] }],
    ['takes a list of keys', `ip: a, host_key: ["${print}=", "ssh-ed25519 ${blob}"]`, { hostKeys: [print, `ssh-ed25519 ${blob}`] }],
    ['takes sudo as a flag', 'ip: a, sudo: true', { sudo: true }],
    ['takes sudo as a user', 'ip: a, sudo: postgres', { sudo: 'postgres' }],
    ['takes enabled: no as the original did', 'ip: a, enabled: no', { enabled: false }],
    ['takes a jump by address', 'ip: a, jump: admin@bastion.example.org:2222', { jump: 'admin@bastion.example.org:2222' }],
    ['takes a jump by an IPv6 address', 'ip: a, jump: "[::1]:2222"', { jump: '[::1]:2222' }],
    ['takes a jump by a host of the file', 'ip: a, jump: vm02', { jump: 'vm02' }],
    [
      'expands ~ in identity_file',
      'ip: a, identity_file: ~/.ssh/id',
      { identityFile: expect.stringMatching(/home\/\.ssh\/id$/) as string },
    ],
    [
      'expands ~ in identity_certificate',
      'ip: a, identity_certificate: ~/.ssh/id-cert.pub',
      { identityCertificate: expect.stringMatching(/home\/\.ssh\/id-cert\.pub$/) as string },
    ],
    ['leaves ssh_config out where it says no', 'ip: a, ssh_config: false', { sshConfig: undefined }],
    [
      'takes the ip as the name in ssh_config, which then says the rest',
      'ip: "[::1]", ssh_config: true',
      { sshConfig: { alias: '::1', ownsPort: false, ownsLogin: false, ownsAddress: false }, port: 22, login: 'operator' },
    ],
    [
      'keeps its own address, port and login beside an alias',
      'ip: a, ssh_port: 22, ssh_user: ada, ssh_config: "db-1.Prod:x"',
      { sshConfig: { alias: 'db-1.Prod:x', ownsPort: true, ownsLogin: true, ownsAddress: true }, address: 'a' },
    ],
    ['takes ssh_config beside a jump', 'ip: a, ssh_config: db, jump: vm02', { jump: 'vm02', sshConfig: { alias: 'db', ownsPort: false, ownsLogin: false, ownsAddress: true } }],
    ['takes ssh_config beside an engine of its own', 'ip: a, ssh_config: true, engine: openssh', { engine: 'openssh' }],
    ['takes a login with a domain', String.raw`ip: a, ssh_user: 'DOM\user'`, { login: String.raw`DOM\user` }],
  ]
  it.each(vms)('%s', async (_sentence, entry, expected) => {
    const config = await loadText(`vms:\n  vm01: {${entry}}\n  vm02: {ip: b}\n`)
    expect(config.hosts.get('vm01')).toMatchObject(expected)
  })

  it('shares settings by anchors and merge keys, for hundreds of hosts', async () => {
    const hosts = Array.from({ length: 500 }, (_, index) => `  vm${index}: {<<: *common, ip: 10.0.${index >> 8}.${index & 255}}\n`)
    const config = await loadText(`x-common: &common {ssh_user: thadmin, groups: [lab]}\nvms:\n${hosts.join('')}`)
    expect(config.hosts.size).toBe(500)
    expect(config.hosts.get('vm499')).toMatchObject({ login: 'thadmin', groups: ['lab'], address: '10.0.1.243' })
  })

  it('fills the lists of a policy rule that are left out', async () => {
    const config = await loadText(`${oneHost('vm01')}policy:\n  rules:\n    - {effect: allow, commands: [[df, "*", "**"]]}\n`)
    const filled = { effect: 'allow', users: [], speaksFor: [], hosts: [], operations: [], commands: [['df', '*', '**']], shell: false, recordOutput: undefined, approvers: [], expiresMs: 3_600_000 }
    expect(config.policy).toEqual({ rules: [filled], approvalsPath: join(config.settings.auditPath, 'approvals') })
  })

  it('keeps a policy without rules, which denies everything', async () => {
    expect((await loadText(`${oneHost('vm01')}policy: {rules: []}\n`)).policy).toMatchObject({ rules: [] })
  })
})

describe('a configuration given as an object', () => {
  it('is used as it is, and no file is looked for', async () => {
    await write('configs/config.yml', oneHost('file'))
    const config = await loadConfig({ ...around(), data: { vms: { vm01: { ip: '10.0.0.1' } } } })
    expect(ids(config)).toEqual(['vm01'])
    expect(config.path).toBeUndefined()
  })

  it.each([
    ['an empty object', {}, /^the configuration that was given: vms: missing/],
    ['null', null, /it is empty/],
    ['a list', [], /expected sections/],
    ['a text', 'vms: {}', /expected sections/],
    ['a null host', { vms: { vm01: null } }, /vms\.vm01: expected a map of settings/],
    [
      'a host with a name that objects treat in their own way',
      JSON.parse('{"vms":{"vm01":{"ip":"a"},"__proto__":{"ip":"a"}}}') as object,
      /vms\.__proto__: expected a host id/,
    ],
    ['a policy that got lost on the way', { vms: { vm01: { ip: 'a' } }, policy: undefined }, /policy: missing/],
    ['a function for a text', { vms: { vm01: { ip: () => 'a' } } }, /vms\.vm01\.ip: expected .*, got a function/],
  ])('is refused as CONFIG_INVALID when it is %s, even though a file is there', async (_name, data, message) => {
    await write('configs/config.yml', oneHost('file'))
    const error = await failure(loadConfig({ ...around(), data }))
    expect(error.code).toBe('CONFIG_INVALID')
    expect(error.message).toMatch(message)
  })
})
