import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildCommandLine, Workshop, type Ended } from '../cli/workshop.ts'

const CONFIG = `
vms:
  vm01: { ip: 10.0.0.10, ssh_user: thadmin, role: ingest-parser, groups: [lab] }
  vm02: { ip: 10.0.0.11, ssh_user: thadmin, ssh_port: 2222, role: database, groups: [lab] }
  vm03: { ip: "fd00::12", ssh_user: thadmin, role: analysis-jupyter, enabled: false, groups: [lab] }
  vm04: { ip: 10.0.0.13, ssh_user: thadmin, role: orchestrator-n8n, sudo: true }
`

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with([])
  await writeFile(shop.path('config.yml'), CONFIG)
  await writeFile(shop.path('local.txt'), 'content\n')
  await writeFile(shop.path('check.sh'), '#!/bin/sh\ntrue\n')
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

/** Everything that a person sees of a call. */
function seen(words: readonly string[], { status, stdout, stderr }: Ended): string {
  const shown = words.map((word) => (/^[\w@.,:/&!=[\]-]+$/.test(word) ? word : `'${word}'`)).join(' ')
  const text = `$ remex ${shown}\n${stdout}${stderr === '' ? '' : `[stderr]\n${stderr}`}[status ${status ?? 'none'}]\n`
  return text.replaceAll(shop.folder, '/folder')
}

describe('the help', () => {
  it.each([
    ['remex'], ['run'], ['script'], ['put'], ['get'], ['hosts'], ['hosts list'], ['hosts check'], ['hosts trust'], ['hosts rotate'], ['hosts forget'], ['runs'], ['runs list'], ['runs show'], ['runs attach'], ['runs cancel'], ['runs prune'],
    ['keys'], ['keys setup'], ['keys status'], ['keys rotate'], ['keys revoke'], ['keys harden'], ['keys prune'],
    ['approve'], ['policy'], ['policy test'], ['audit'], ['audit list'], ['audit show'], ['audit export'], ['audit verify'], ['audit anchor'], ['audit public-key'], ['config'], ['config check'], ['config show'], ['config schema'], ['selftest'], ['init'], ['doctor'], ['demo'], ['test'], ['bench'],
  ])('of %s is as it was agreed, with an example', async (name) => {
    const words = [...name.split(' ').filter((word) => word !== 'remex'), '--help']
    const call = await shop.call(words)
    expect(call.stdout).toMatch(/\nExamples?:\n {2}\.?\/?remex /)
    await expect(seen(words, call)).toMatchFileSnapshot(`help/${name.replace(' ', '-')}.txt`)
  })
})

const TEXTS: readonly (readonly [name: string, calls: readonly (readonly string[])[]])[] = [
  ['tables', [['hosts', 'list'], ['hosts', 'list', '@lab,!vm02'], ['hosts', 'list', '@lab', '--json'], ['config', 'check'], ['audit', 'list'], ['audit', 'verify']]],
  ['dry-run', [
    ['run', 'vm01', '--dry-run', '--', 'df', '-h', 'a b'],
    ['run', '@lab', '--dry-run', '--timeout', 'none', '-c', "echo 'a' | wc -c"],
    ['run', 'vm04', '--dry-run', '--env', 'A=value', '--secret-env', 'B=value', '--cwd', '/srv', '--', 'id'],
    ['run', 'vm01', '--dry-run', '--json', '--sudo=www', '--', 'id'],
    ['run', 'vm01', '--dry-run', '--sudo', '--', 'id'],
    ['run', '@lab', '--dry-run', '--canary', '1', '--batch', '50%', '--', 'id'],
    ['script', 'vm01', 'check.sh', '--dry-run', '--interpreter', 'sh -e', '--', 'a b'],
    ['put', '@lab', 'local.txt', '/srv/x', '--mode', '0640', '--dry-run'],
    ['get', '@lab', '/srv/x', 'out', '--timeout', '5m', '--dry-run'],
    ['get', 'vm01', '/srv/x', 'out', '--dry-run', '--json'],
  ]],
  ['usage-errors', [
    ['rnu', 'vm01'], ['tunnel'], ['rusn', 'list'], ['runs'], ['hosts'], ['hosts', 'lst'], ['run'], ['run', 'vm01'], ['run', 'vm01', '-c', 'x', '--', 'y'], ['run', 'vm01', '-c', ' '],
    ['run', 'vm01', 'uptime'], ['run', 'vm01', '--'], ['run', 'vm01', '--tmeout', '5', '--', 'x'], ['run', 'vm01', '--timeout', '5 parsecs', '--', 'x'],
    ['run', 'vm01', '--run-id', '../x', '--', 'x'], ['runs', 'attach'], ['runs', 'show', 'a b'], ['runs', 'prune', '--older-than', 'long'], ['run', 'vm01', '--gather', '--json', '--', 'x'], ['run', 'vm01', '--diff', '--detach', '--', 'x'], ['run', 'vm01', '--out-dir', '', '--', 'x'], ['put', 'vm01', 'local.txt', 'x', '--recursive'],
    ['run', 'vm01', '--env', 'hunter2', '--', 'x'], ['run', 'vm01', '--secret-env', 'NOT_SET', '--', 'x'], ['run', 'vm01', '--env', '1A=x', '--dry-run', '--', 'x'],
    ['run', 'vm01', '--parallel', '0', '--', 'x'], ['run', 'vm01', '--batch', '0%', '--', 'x'], ['run', 'vm01', '--pause', '5s', '--', 'x'], ['run', 'vm01', '--retry-failed', 'nightly', '--', 'x'], ['run', 'vm01', '--detach', '--batch', '1', '--', 'x'], ['run', 'vm01', '--retries', 'x', '--', 'x'], ['run', 'vm01', '--sudo=', '--', 'x'],
    ['run', 'vm01', '--stdin', '--input', 'local.txt', '--', 'x'], ['run', 'vm01', '--timeout'], ['audit', 'list', '--status', 'good'], ['audit', 'list', '--since', '2026-02-01', '--until', '2026-01-01'], ['audit', 'list', '--text', ''], ['audit', 'show'], ['audit', 'show', 'x'], ['audit', 'show', '1'],
    ['audit', 'export', '--format', 'xml'], ['audit', 'export', '--follow', '--limit', '3'], ['audit', 'export', '--json'],
    ['test'], ['bench', '--quick'], ['--json', 'nope'], ['--config', '', 'hosts', 'list'],
  ]],
  ['target-errors', [
    ['run', 'vm05', '--', 'x'], ['run', 'vm03', '--', 'x'], ['run', '@labb', '--', 'x'], ['run', 'vm01,!vm01', '--', 'x'], ['run', 'vm01 vm02', '--', 'x'], ['run', '', '--', 'x'],
    ['--json', 'run', 'vm05', '--', 'x'], ['--config', 'nope.yml', 'run', 'vm01', '--', 'x'], ['--verbose', '--config', 'nope.yml', 'run', 'vm01', '--', 'x'],
  ]],
  ['version', [['--version'], ['run', '--version']]],
]

describe('the text', () => {
  it.each(TEXTS)('of %s is as it was agreed', async (name, calls) => {
    const texts: string[] = []
    for (const words of calls) texts.push(seen(words, await shop.call(words)))
    const text = name === 'version' ? texts.join('\n').replaceAll(/\d+\.\d+\.\d+/g, 'VERSION') : texts.join('\n')
    await expect(text).toMatchFileSnapshot(`cli/${name}.txt`)
  })
})
