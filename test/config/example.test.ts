import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { configJsonSchema } from '../../src/config/json-schema.ts'
import { loadConfig } from '../../src/config/load.ts'
import { keysAt } from '../../src/config/schema.ts'
import { showConfig } from '../../src/config/show.ts'
import { targetHosts } from '../../src/config/target-hosts.ts'
import type { Config } from '../../src/config/types.ts'
import { parseYaml } from '../../src/config/document.ts'

const ROOT = join(import.meta.dirname, '../..')
const EXAMPLE = join(ROOT, 'configs/config.example.yml')
const ORIGINAL = join(import.meta.dirname, 'fixtures/original-config.yml')
const around = { env: {}, cwd: ROOT, home: '/home/operator', osUser: 'operator' }
const load = (path: string): Promise<Config> => loadConfig({ ...around, path })

/** Every key that a file may have, with the place of its map. */
const KEYS = [[], ['vms', 'vm01'], ['remote_execution'], ['policy'], ['policy', 'rules', 0]].flatMap((place) =>
  keysAt(place).map((key) => [place.join('.'), key] as const),
)

describe('configs/config.example.yml', () => {
  it('loads unchanged, with the four hosts of the original', async () => {
    const config = await load(EXAMPLE)
    const hosts = [...config.hosts.values()]
    expect(hosts.map(({ id, address, port, login, role, enabled }) => [id, address, port, login, role, enabled])).toEqual([
      ['vm01', '10.0.0.10', 22, 'thadmin', 'ingest-parser', true],
      ['vm02', '10.0.0.11', 22, 'thadmin', 'database', true],
      ['vm03', '10.0.0.12', 22, 'thadmin', 'analysis-jupyter', true],
      ['vm04', '10.0.0.13', 22, 'thadmin', 'orchestrator-n8n', true],
    ])
  })

  it('says nothing but the defaults in remote_execution', async () => {
    const { settings } = await loadConfig({ ...around, data: { vms: { vm01: { ip: 'a' } } } })
    expect((await load(EXAMPLE)).settings).toEqual(settings)
  })

  it('loads as well with every comment of a key taken away, and then has every key', async () => {
    const text = (await readFile(EXAMPLE, 'utf8')).replaceAll(/^(\s*)#(?=\S)/gm, '$1')
    const { data, problems } = parseYaml(text, 'example')
    expect(problems).toEqual([])
    const config = await loadConfig({ ...around, data })
    expect(config.policy?.rules).toHaveLength(3)
    const { vms, remote_execution, policy } = data as { vms: { vm01: object }; remote_execution: object; policy: { rules: object[] } }
    expect(Object.keys(vms.vm01).sort()).toEqual([...keysAt(['vms', 'vm01'])].sort())
    expect(Object.keys(remote_execution).sort()).toEqual([...keysAt(['remote_execution'])].sort())
    expect(Object.keys(policy).sort()).toEqual([...keysAt(['policy'])].sort())
    expect([...new Set(policy.rules.flatMap((rule) => Object.keys(rule)))].sort()).toEqual([...keysAt(['policy', 'rules', 0])].sort())
  })
})

describe('docs/configuration.md', () => {
  it.each(KEYS)('explains the key of "%s" %s', async (_place, key) => {
    const page = await readFile(join(ROOT, 'docs/configuration.md'), 'utf8')
    expect(page).toMatch(new RegExp(`\`${key}:?\``))
  })

  it('names no key that is not there', async () => {
    const page = await readFile(join(ROOT, 'docs/configuration.md'), 'utf8')
    const [keys = ''] = page.split('## Target expressions')
    const rows = [...keys.matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, key]) => key)
    expect(rows.length).toBeGreaterThan(20)
    expect(rows.filter((key) => !KEYS.some(([, known]) => known === key))).toEqual([])
  })
})

describe('a configuration of the original service', () => {
  it('loads unchanged, with what its keys said', async () => {
    const config = await load(ORIGINAL)
    expect([...config.hosts.values()].map(({ id, address, login, enabled }) => [id, address, login, enabled])).toEqual([
      ['vm01', '10.0.0.10', 'thadmin', true],
      ['vm02', '10.0.0.11', 'thadmin', true],
      ['vm03', '10.0.0.12', 'thadmin', false],
      ['vm04', '10.0.0.13', 'operator', true],
    ])
    expect(config.settings).toMatchObject({
      defaultTimeoutMs: 30_000,
      defaultRetry: 3,
      maxParallel: 5,
      poolSize: 10,
      keyRotationDays: 90,
      keyStorageConfigured: true,
    })
    expect(config.policy).toBeUndefined()
  })
})

describe('targetHosts', () => {
  it('narrows by allowed_vm_ids and never enables a disabled host by it', async () => {
    const vms = { vm01: { ip: 'a', role: 'web', groups: ['lab'] }, vm02: { ip: 'b' }, vm03: { ip: 'c', enabled: false } }
    const config = await loadConfig({ ...around, data: { vms, remote_execution: { allowed_vm_ids: ['vm01', 'vm03'] } } })
    expect(targetHosts(config)).toEqual([
      { id: 'vm01', role: 'web', groups: ['lab'], state: 'usable' },
      { id: 'vm02', role: '', groups: [], state: 'not_allowed' },
      { id: 'vm03', role: '', groups: [], state: 'disabled' },
    ])
  })

  it('takes every enabled host without an allow-list, and none with an empty one', async () => {
    const states = async (remote_execution: object): Promise<string[]> =>
      targetHosts(await loadConfig({ ...around, data: { vms: { vm01: { ip: 'a' } }, remote_execution } })).map(({ state }) => state)
    expect(await states({})).toEqual(['usable'])
    expect(await states({ allowed_vm_ids: [] })).toEqual(['not_allowed'])
  })
})

describe('showConfig', () => {
  const rules = [
    { effect: 'deny', users: ['on', 'alice'], hosts: ['@lab,!vm02'], operations: ['upload'] },
    { effect: 'allow', speaks_for: ['no'], commands: [['df', '*', '**'], ['0644', 'yes', '- x: #']], shell: true },
    { effect: 'ask', speaks_for: '*', approvers: ['on', 'bob'], expires: '90m' },
  ]
  const data = {
    vms: {
      vm01: {
        ip: '::1',
        name: 'yes',
        groups: ['lab'],
        host_key: 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU',
        identity_file: '/k',
        identity_certificate: '/k-cert.pub',
        ssh_config: 'db',
        ssh_port: 2222,
        jump: 'vm02',
        sudo: 'root',
        enabled: false,
      },
      vm02: { ip: 'b.example', ssh_user: '007', engine: 'ssh2' },
      vm03: { ip: '::2', ssh_config: true },
      vm04: { ip: 'd', ssh_user: 'ada', ssh_config: true },
    },
    remote_execution: {
      default_timeout: 'none',
      connect_timeout: '1500ms',
      keepalive_interval: '2h',
      allowed_vm_ids: ['vm01'],
      key_storage_path: '/keys',
      ssh_config_path: '/ssh_config',
      secret_patterns: ['a/b', String.raw`--token[= ](?<secret>\S+)`, 'line\nbreak # x: "é"'],
    },
    policy: { rules, approvals_path: '~/approvals' },
  }

  it('writes a file that loads as the same configuration', async () => {
    const config = await loadConfig({ ...around, data })
    const shown = parseYaml(showConfig(config), 'shown')
    expect(shown.problems).toEqual([])
    expect(await loadConfig({ ...around, data: shown.data })).toEqual(config)
  })

  it('does not fill in what ssh_config is to say', async () => {
    const shown = showConfig(await loadConfig({ ...around, data: { vms: { vm01: { ip: 'a', ssh_config: 'db' } } } }))
    expect(shown).toContain('ssh_config: db')
    expect(shown).not.toMatch(/ssh_port|ssh_user/)
  })

  it('fills in the defaults', async () => {
    const shown = showConfig(await loadConfig({ ...around, data: { vms: { vm01: { ip: 'a' } } } }))
    expect(shown).toContain('default_timeout: 30s')
    expect(shown).toContain('audit_log_path: /home/operator/.local/state/remex/audit')
    expect(shown).toContain('ssh_user: operator')
    expect(shown).not.toContain('policy')
  })
})

describe('configJsonSchema', () => {
  const schema = configJsonSchema() as { required: string[]; properties: Record<string, object>; additionalProperties: unknown }

  it('is plain JSON that requires the hosts and lets other sections through', () => {
    expect(JSON.parse(JSON.stringify(schema))).toEqual(schema)
    expect(schema).toMatchObject({ $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object', required: ['vms'] })
    expect(Object.keys(schema.properties)).toEqual(['vms', 'remote_execution', 'policy'])
    expect(schema.additionalProperties).not.toBe(false)
  })

  it.each(KEYS)('knows the key of "%s" %s', (_place, key) => {
    expect(JSON.stringify(schema)).toContain(`"${key}":`)
  })

  it('closes the maps of a host and of remote_execution to other keys', () => {
    expect(JSON.stringify(schema.properties.vms)).toContain('"additionalProperties":false')
    expect(JSON.stringify(schema.properties.remote_execution)).toContain('"additionalProperties":false')
  })
})
