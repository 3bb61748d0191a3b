import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, Workshop, type Ended } from './workshop.ts'

const IDS = ['vm01', 'vm02', 'vm03', 'vm04']
let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with(IDS, { servers: Object.fromEntries(IDS.map((id) => [id, { env: { NAME: id } }])) })
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

const FAILS_ON = (names: string): string => `case $NAME in ${names}) exit 3;; esac`
const statesOf = ({ rows }: Ended): Record<string, unknown> => Object.fromEntries(rows.map((row) => [row['vm_id'], row['state']]))
/** The id that the summary tells. */
const idIn = ({ stderr }: Ended): string => /--retry-failed (\S+)\n/.exec(stderr)?.[1] ?? ''
/** How often a command came to each host. */
const execsOf = (part: string): number[] => IDS.map((id) => shop.server(id).execs.filter((command) => command.includes(part)).length)

describe('remex run in batches', () => {
  it('stops behind the batch that failed, says who was not tried and why, and how to go on', async () => {
    const call = await shop.call(['run', 'all', '--batch', '1', '-c', `echo here; ${FAILS_ON('vm02')}`])
    expect(call.status).toBe(1)
    expect(call.stdout).toBe('vm01: here\nvm02: here\n')
    expect(call.stderr.replaceAll(/\d{8}t\d{6}-[0-9a-f]{16}/g, 'ID').split('\n')).toEqual([
      'remex: batch 1 of 4: vm01',
      'remex: batch 2 of 4: vm02',
      'remex: 4 hosts: 1 succeeded, 1 failed, 2 not tried',
      'remex:   vm02: exit status 3',
      'remex:   vm[03-04]: not tried: 1 failure is more than --max-failures 0',
      'remex: again on the rest: remex run … --retry-failed ID',
      '',
    ])
  })

  it('says nothing of a rest where there is none, and gives 0', async () => {
    const { status, stderr } = await shop.call(['run', 'all', '--canary', '1', '--batch', '50%', '--', 'true'])
    expect(status).toBe(0)
    expect(stderr).toBe('remex: batch 1 of 3, the canary: vm01\nremex: batch 2 of 3: vm[02-03]\nremex: batch 3 of 3: vm04\nremex: 4 hosts: 4 succeeded\n')
  })

  it('gives every host one object with --json, all with the same op_id', async () => {
    const call = await shop.call(['run', 'all', '--batch', '2', '--json', '-c', FAILS_ON('vm01')])
    expect(call.status).toBe(1)
    expect(call.rows).toHaveLength(4)
    expect(statesOf(call)).toEqual({ vm01: 'failed', vm02: 'succeeded', vm03: 'not_tried', vm04: 'not_tried' })
    expect(new Set(call.rows.map((row) => row['op_id'])).size).toBe(1)
    expect(call.rows.at(-1)).toMatchObject({ ended: 'not_started', success: false, exit_code: null, error: { code: 'CANCELLED', may_have_run: false } })
    expect(call.stderr).not.toContain('again on the rest')
  })

  it('has no op_id for a single host', async () => {
    const { rows } = await shop.call(['run', 'vm01', '--json', '--', 'true'])
    expect(rows[0]).not.toHaveProperty('op_id')
  })

  it('goes on as long as no more fail than may', async () => {
    const call = await shop.call(['run', 'all', '--batch', '1', '--max-failures', '25%', '--json', '-c', FAILS_ON('vm01|vm03')])
    expect(statesOf(call)).toEqual({ vm01: 'failed', vm02: 'succeeded', vm03: 'failed', vm04: 'not_tried' })
  })

  it('folds the hosts that were not tried with --gather too', async () => {
    const { stdout, stderr } = await shop.call(['run', 'all', '--batch', '1', '--gather', '--check', 'echo sick; false', '-c', 'echo here'])
    expect(stdout).toContain('here\n')
    expect(stderr).toContain('remex: 4 hosts: 0 succeeded, 1 failed, 3 not tried')
    expect(stderr).toContain('remex:   vm01: sick')
  })
})

describe('--check', () => {
  it('that fails is told with what it said, and the host counts as failed', async () => {
    const { status, stdout, stderr } = await shop.call(['run', 'all', '--batch', '2', '--check', 'echo "not well" >&2; test $NAME != vm02', '-c', 'echo up'])
    expect(status).toBe(1)
    expect(stdout.split('\n').toSorted()).toEqual(['', 'vm01: up', 'vm02: up'])
    expect(stderr).toContain('remex: vm02: check failed: exit status 1\nremex:   vm02: not well\n')
    expect(stderr).toContain('remex: 4 hosts: 1 succeeded, 1 failed, 2 not tried\nremex:   vm02: check failed: exit status 1\n')
  })

  it('that fails gives a further object with --json', async () => {
    const { rows } = await shop.call(['run', 'vm01,vm02', '--check', 'echo sick; test $NAME = vm01', '--json', '--', 'true'])
    expect(rows.map((row) => [row['vm_id'], row['check'] ?? false, row['state']]).toSorted()).toEqual([['vm01', false, 'succeeded'], ['vm02', false, 'succeeded'], ['vm02', true, 'failed']])
    expect(rows.at(-1)).toMatchObject({ command: 'echo sick; test $NAME = vm01', stdout: 'sick\n', exit_code: 1 })
  })

  it('that fails on a single host gives its exit status', async () => {
    const { status, stdout, stderr } = await shop.call(['run', 'vm01', '--check', 'exit 7', '-c', 'echo up'])
    expect([status, stdout]).toEqual([7, 'up\n'])
    expect(stderr).toBe('remex: vm01: check failed: exit status 7\n')
  })

  it('cannot fill the terminal with control characters', async () => {
    const { stderr } = await shop.call(['run', 'vm01,vm02', '--check', String.raw`printf '\033]0;x\007'; false`, '--', 'true'])
    expect(stderr).not.toContain('\u001b')
  })
})

describe('Ctrl-C in the second of four batches', () => {
  it('ends what runs, tries no other, and counts every host once', async () => {
    const child = shop.start(['run', 'all', '--batch', '1', '--json', '-c', 'case $NAME in vm02) touch "$HOME/begun"; sleep 60;; esac'])
    const rest = ended(child)
    await until(() => stat(`${shop.server('vm02').home}/begun`), { what: 'the second batch' })
    child.kill('SIGINT')
    const call = await rest
    expect(call.status).toBe(130)
    expect(statesOf(call)).toEqual({ vm01: 'succeeded', vm02: 'cancelled', vm03: 'not_tried', vm04: 'not_tried' })
    expect(call.rows).toHaveLength(4)
    const again = await shop.call(['run', 'all', '--batch', '1', '--json', '--retry-failed', String(call.rows[0]?.['op_id']), '-c', 'case $NAME in vm02) touch "$HOME/begun"; sleep 60;; esac'])
    expect(statesOf(again)).toEqual({ vm03: 'succeeded', vm04: 'succeeded' })
    expect(again.stderr).toContain('left out, for the command may have run there: vm02 (cancelled)')
    expect(again.status).toBe(1)
  })

  it('ends a pause', async () => {
    const child = shop.start(['run', 'all', '--batch', '1', '--pause', '10m', '--', 'echo', 'done'])
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    const rest = ended(child)
    await until(() => seen.includes('done'), { what: 'the first batch' })
    child.kill('SIGINT')
    const { status, stderr } = await rest
    expect(status).toBe(130)
    expect(stderr).toContain('vm[02-04]: not tried: the run was cancelled')
  })
})

describe('--retry-failed', () => {
  it('runs only where it did not succeed, under the same id until nothing is left', async () => {
    const words = ['-c', `: again; test -e $HOME/well || test $NAME = vm01`]
    const first = await shop.call(['run', 'all', ...words])
    const id = idIn(first)
    await writeFile(`${shop.server('vm02').home}/well`, '')
    const second = await shop.call(['run', 'all', '--retry-failed', id, ...words])
    expect(second.stderr).toContain('3 hosts: 1 succeeded, 2 failed')
    expect(idIn(second)).toBe(id)
    await writeFile(`${shop.server('vm03').home}/well`, '')
    await writeFile(`${shop.server('vm04').home}/well`, '')
    expect(await shop.call(['run', 'vm[01-03]', '--retry-failed', id, '--quiet', ...words])).toMatchObject({ status: 0, stderr: '' })
    expect(await shop.call(['run', 'all', '--retry-failed', id, '--quiet', ...words])).toMatchObject({ status: 0, stderr: '' })
    expect(await shop.call(['run', 'all', '--retry-failed', id, ...words])).toMatchObject({ status: 0, stdout: '', stderr: `remex: nothing is left: every host succeeded in ${id}, or had no part in it\n` })
    expect(execsOf(': again;')).toEqual([1, 2, 3, 3])
  })

  it('runs nothing twice that may have run, unless that is harmless', async () => {
    const words = ['--timeout', '500ms', '-c', ': slow; case $NAME in vm01) sleep 9;; vm02) exit 1;; esac']
    const id = idIn(await shop.call(['run', 'vm01,vm02', ...words]))
    const again = await shop.call(['run', 'vm01,vm02', '--retry-failed', id, ...words])
    expect(again.stderr).toContain('remex: left out, for the command may have run there: vm01 (timed out)\n')
    expect(execsOf(': slow;')).toEqual([1, 2, 0, 0])
    await shop.call(['run', 'vm01,vm02', '--retry-failed', id, '--idempotent', ...words])
    expect(execsOf(': slow;')).toEqual([2, 3, 0, 0])
  })

  it('comes back to a durable run that was left running, and starts it no second time', async () => {
    const words = ['--durable', '-c', 'echo x >>"$HOME/durable"; echo begun; until test -e "$HOME/go"; do sleep 0.1; done']
    const child = shop.start(['run', 'vm01,vm02', ...words])
    const rest = ended(child)
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await until(() => seen.includes('vm01') && seen.includes('vm02'), { what: 'the output of both hosts' })
    child.kill('SIGINT')
    const id = idIn(await rest)
    for (const host of ['vm01', 'vm02']) await writeFile(`${shop.server(host).home}/go`, '')
    const again = await shop.call(['run', 'vm01,vm02', '--retry-failed', id, '--json', ...words])
    expect(again.rows.map((row) => [row['state'], row['stdout']])).toEqual([['succeeded', 'begun\n'], ['succeeded', 'begun\n']])
    for (const host of ['vm01', 'vm02']) expect(await readFile(`${shop.server(host).home}/durable`, 'utf8')).toBe('x\n')
  })

  it('takes scripts too, by their path and arguments', async () => {
    await writeFile(shop.path('check.sh'), '#!/bin/sh\ntest "$NAME" = "$1"\n')
    const id = idIn(await shop.call(['script', 'vm01,vm02', 'check.sh', '--', 'vm01']))
    const again = await shop.call(['script', 'vm01,vm02', 'check.sh', '--retry-failed', id, '--json', '--', 'vm01'])
    expect(statesOf(again)).toEqual({ vm02: 'failed' })
    expect(await shop.call(['script', 'vm01,vm02', 'check.sh', '--retry-failed', id, '--', 'vm02'])).toMatchObject({ status: 125 })
  })

  it('refuses another command than that of the run', async () => {
    const id = idIn(await shop.call(['run', 'vm01,vm02', '--', 'false']))
    const { status, stderr } = await shop.call(['run', 'vm01,vm02', '--retry-failed', id, '--', 'true'])
    expect(status).toBe(125)
    expect(stderr).toContain(`operation ${id} ran another command`)
  })

  it.each(['20260101t000000-0123456789abcdef', '../../x', 'nightly'])('does not know %s', async (id) => {
    const { status, rows } = await shop.call(['run', 'vm01,vm02', '--retry-failed', id, '--json', '--', 'true'])
    expect(status).toBe(125)
    expect(rows).toMatchObject([{ error: { code: 'RUN_NOT_FOUND' } }])
  })

  it('shows with --dry-run which hosts that would be', async () => {
    const id = idIn(await shop.call(['run', 'all', '-c', FAILS_ON('vm03')]))
    const { rows } = await shop.call(['run', 'all', '--retry-failed', id, '--dry-run', '--json', '-c', FAILS_ON('vm03')])
    expect(rows.map((row) => row['vm_id'])).toEqual(['vm03'])
  })
})

describe('the note of a run', () => {
  it('is for its owner alone and has neither the command nor any value', async () => {
    const id = idIn(await shop.call(['run', 'vm01,vm02', '--secret-env', 'TOKEN=hunter2', '--env', 'A=visible', '-c', ': sekret; false']))
    const path = shop.path('state', 'operations', `${id}.json`)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(shop.path('state', 'operations'))).mode & 0o777).toBe(0o700)
    expect(await readFile(path, 'utf8')).not.toMatch(/hunter2|visible|sekret/)
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ op_id: id, hosts: { vm01: { state: 'failed' }, vm02: { state: 'failed' } } })
  })

  it('is not made of a single host', async () => {
    const before = await readdir(shop.path('state', 'operations'))
    await shop.call(['run', 'vm01', '--', 'false'])
    expect(await readdir(shop.path('state', 'operations'))).toEqual(before)
  })

  it('that cannot be written changes nothing of the run, and is told', async () => {
    await writeFile(shop.path('no-directory'), '')
    const { status, stdout, stderr } = await shop.call(['run', 'vm01,vm02', '--', 'echo', 'x'], { env: { REMEX_STATE_DIR: shop.path('no-directory') } })
    expect([status, stdout.split('\n').toSorted()]).toEqual([0, ['', 'vm01: x', 'vm02: x']])
    expect(stderr).toContain('could not be noted')
  })
})

describe('a call that is wrong', () => {
  it.each([
    ['--batch', '0'], ['--batch', '0%'], ['--batch', 'few'], ['--batch', '101%'], ['--canary', '0'], ['--canary', '10%'], ['--max-failures', '-1'], ['--max-failures', '1.5'],
    ['--pause', 'long'], ['--pause', '5s'], ['--check', ''], ['--detach', '--batch=1'], ['--detach', '--retry-failed=x'],
  ])('is %s %s', async (...words) => {
    const { status, stderr } = await shop.call(['run', 'all', ...words, '--', 'true'])
    expect(status).toBe(125)
    expect(stderr).toMatch(/^remex: /)
  })
})
