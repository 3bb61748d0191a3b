import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkConfig } from '../../../src/config/check.ts'
import { parseYaml } from '../../../src/config/document.ts'
import type { ImportedHost } from '../../../src/config/import/imported.ts'
import { settle } from '../../../src/config/import/settle.ts'
import { configText } from '../../../src/config/import/write.ts'

const template = await readFile(join(import.meta.dirname, '../../../configs/config.example.yml'), 'utf8')

const PLAIN: ImportedHost = { id: 'vm', address: '10.0.0.1', port: undefined, login: undefined, identityFile: undefined, jump: [], groups: [], sudo: undefined, sshConfig: undefined, disabled: undefined }

/** Text that YAML, a terminal or a schema could take for something else. */
const awkward = fc.oneof(
  fc.constantFrom('no', '001', '1e3', '0x10', 'null', '~', 'all', '__proto__', 'a b', ' a', '- x', '#x', 'a: b', '"', "'", '*a', '&a', '!x', '{}', 'a\nvms:', '\u001b[2J', '\u2028', '😀', '::1', '10.0.0.1', 'a,b', '@x', '22:22', 'x'.repeat(200)),
  fc.string({ maxLength: 12 }),
  fc.stringMatching(/^[a-z0-9.]{1,6}$/),
)
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })
const imported: fc.Arbitrary<ImportedHost> = fc.record({
  id: fc.oneof(awkward, fc.constantFrom('a', 'b', 'c', '10', '9')),
  address: fc.oneof(awkward, fc.constant('a.example')),
  port: maybe(fc.oneof(fc.integer({ min: -1, max: 70_000 }), awkward)),
  login: maybe(awkward),
  identityFile: maybe(awkward),
  jump: fc.array(fc.record({ id: maybe(fc.constantFrom('a', 'b', 'c')), address: maybe(fc.oneof(awkward, fc.constant('u@h:22'))) }), { maxLength: 3 }),
  groups: fc.array(fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,3}$/), { maxLength: 3 }),
  sudo: maybe(fc.oneof(fc.boolean(), awkward)),
  sshConfig: maybe(awkward),
  disabled: maybe(awkward),
})

describe('whatever is imported', () => {
  it('is written as a file that passes our own check, and says the same', () => {
    fc.assert(fc.property(fc.uniqueArray(imported, { selector: ({ id }) => id, maxLength: 6 }), awkward, (hosts, name) => {
      const { entries, leftOut } = settle(hosts)
      expect(entries.length + leftOut.length).toBe(hosts.length)
      if (entries.length === 0) return
      // It becomes a setting where a host needs it, and a path has no control characters.
      const source = entries.some(({ vm }) => 'ssh_config' in vm) ? `/${name.replaceAll(/\p{Cc}/gu, '')}` : name
      const { data, problems } = parseYaml(configText(template, entries, source), 'written')
      const found = checkConfig(data)
      expect([problems, 'problems' in found ? found.problems : []]).toEqual([[], []])
      expect((data as { vms: object }).vms).toEqual(Object.fromEntries(entries.map(({ id, vm }) => [id, vm])))
    }), { numRuns: 300 })
  })

  it('is no host more or less than what is right', () => {
    const { entries, leftOut } = settle([PLAIN, { ...PLAIN, id: 'all' }, { ...PLAIN, id: 'x', jump: [{ id: 'vm', address: undefined }, { id: 'all', address: 'all:22' }] }])
    expect(entries.map(({ id, vm }) => [id, vm])).toEqual([['vm', { ip: '10.0.0.1' }], ['x', { ip: '10.0.0.1', jump: 'vm,all:22' }]])
    expect(leftOut).toEqual([{ name: 'all', reason: expect.stringContaining('expected a host id') }])
  })

  it('is kept but not enabled where its jump cannot be', () => {
    const { entries } = settle([{ ...PLAIN, jump: [{ id: undefined, address: undefined }] }])
    expect(entries).toEqual([{ id: 'vm', vm: { ip: '10.0.0.1', enabled: false }, disabled: expect.stringMatching(/^jump: expected/) }])
  })
})

describe('hosts that are reached by ssh_config alone', () => {
  const written = (source: string, sshConfig: string | undefined = 'vm'): string => configText(template, settle([{ ...PLAIN, sshConfig }]).entries, source)

  it('have the name by which the file knows them', () => {
    expect(written('~/.ssh/config')).toContain('vms:\n  vm:\n    ip: 10.0.0.1\n    ssh_config: vm\n')
  })

  it.each([
    ['in their home', '~/other config', '~/other config'],
    ['that is named by its path', '/etc/fleet: #1', '"/etc/fleet: #1"'],
    ['that is named from here', 'fleet/ssh_config', join(process.cwd(), 'fleet/ssh_config')],
  ])('have the file named as well, where it is one %s', (_, source, path) => {
    expect(written(source)).toContain(`\n  ssh_config_path: ${path}\n`)
  })

  it('leave the setting alone where ssh finds the file by itself, or no host needs it', () => {
    for (const text of [written('~/.ssh/config'), configText(template, settle([PLAIN]).entries, '/etc/fleet')]) expect(text).toContain('\n  #ssh_config_path: ')
  })
})

describe('the file', () => {
  const text = configText(template, settle([{ ...PLAIN, groups: ['lab'], disabled: 'a\nb' }]).entries, 'hosts\u001b')

  it('has the hosts with their source and why one is not enabled', () => {
    expect(text).toContain('\n# From hosts\\x1b.\nvms:\n  # Not enabled: a\\nb\n  vm:\n    ip: 10.0.0.1\n    enabled: false\n    groups: [lab]\n\n# All of this section is optional.')
    expect(text).not.toContain('threat-hunt')
  })

  it('has all the rest of the example, with its comments', () => {
    const rest = (whole: string): string => whole.slice(whole.indexOf('# All of this section is optional'))
    expect(rest(text)).toBe(rest(template))
    expect(text.slice(0, 100)).toBe(template.slice(0, 100))
  })
})
