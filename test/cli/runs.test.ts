import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, Workshop } from './workshop.ts'

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with(['vm01', 'vm02'])
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

/** How many lines a file of the workshop has; 0 where it is not there. */
async function lineCount(name: string): Promise<number> {
  return existsSync(shop.path(name)) ? (await readFile(shop.path(name), 'utf8')).split('\n').length - 1 : 0
}

/** The rows of `runs list` about one run. */
async function listed(runId: string): Promise<Record<string, unknown>[]> {
  const { rows } = await shop.call(['runs', 'list', '--json'])
  return rows.filter((row) => row['run_id'] === runId)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** The process id that a command wrote to a file of the workshop. */
async function pidIn(name: string): Promise<number> {
  return until(async () => Number(await readFile(shop.path(name), 'utf8')), { what: `a process id in ${name}` })
}

/** Shell text that waits until the file of the workshop is there. */
function waitFor(name: string): string {
  return `until [ -e ${shop.path(name)} ]; do sleep 0.02; done`
}

describe('run --durable', () => {
  it('has the output and the exit status of the command, as run has', async () => {
    const { status, stdout, stderr } = await shop.call(['run', 'vm01', '--durable', '-c', 'echo out; echo err >&2; exit 7'])
    expect({ status, stdout, stderr }).toEqual({ status: 7, stdout: 'out\n', stderr: 'err\n' })
  })

  it('passes standard input on, from us and from a file, also to several hosts', async () => {
    await writeFile(shop.path('input.txt'), 'from a file')
    expect((await shop.call(['run', 'vm01', '--durable', '--stdin', '--', 'cat'], { input: 'ours' })).stdout).toBe('ours')
    expect((await shop.call(['run', 'vm01', '--durable', '--input', 'input.txt', '--', 'cat'])).stdout).toBe('from a file')
    const several = await shop.call(['run', 'vm01,vm02', '--durable', '--stdin', '--', 'cat'], { input: 'both\n' })
    expect(several.stdout.split('\n').sort()).toEqual(['', 'vm01: both', 'vm02: both'])
  })

  it('is ended on the host at its deadline, with status 124', async () => {
    const { status, stderr } = await shop.call(['run', 'vm01', '--durable', '--timeout', '1s', '-c', `echo $$ >${shop.path('late')}; sleep 60 & sleep 60`])
    expect(status).toBe(124)
    expect(stderr).toContain('none is left')
    expect(isAlive(await pidIn('late'))).toBe(false)
  })

  it('is ended on the host at its deadline also when nobody follows', async () => {
    await shop.call(['run', 'vm01', '--detach', '--run-id', 'alone', '--timeout', '1s', '-c', `echo $$ >${shop.path('alone')}; sleep 60 & sleep 60`])
    const pid = await pidIn('alone')
    await until(async () => (await listed('alone')).find((row) => row['state'] === 'timed_out'), { what: 'the deadline', timeoutMs: 15_000 })
    expect(isAlive(pid)).toBe(false)
    expect((await shop.call(['runs', 'attach', 'alone'])).status).toBe(124)
  })
})

describe('output past max_run_output_bytes', () => {
  it('is thrown away while the command goes on, and that is said', async () => {
    const config = JSON.parse(await readFile(shop.path('config.yml'), 'utf8')) as { remote_execution: object }
    await writeFile(shop.path('small.yml'), JSON.stringify({ ...config, remote_execution: { ...config.remote_execution, max_run_output_bytes: 1000 } }))
    // It must see itself cut before it ends, and its home is the host's.
    const cut = '"$HOME/.local/state/remex/runs/cut-short/cut"'
    await shop.call(['--config', 'small.yml', 'run', 'vm01', '--detach', '--run-id', 'cut-short', '-c', `head -c 5000 /dev/zero; until [ -e ${cut} ]; do sleep 0.05; done; exit 6`])
    const { status, stdoutBytes, stderr } = await shop.call(['runs', 'attach', 'cut-short'])
    expect(status).toBe(6)
    expect(stderr).toContain('max_run_output_bytes')
    expect(await listed('cut-short')).toMatchObject([{ state: 'exited', exit_code: 6, cut: true }])
    expect(stdoutBytes.length).toBeGreaterThanOrEqual(1000)
    expect((await shop.call(['runs', 'attach', 'cut-short'])).stdoutBytes).toHaveLength(1000)
  })
})

describe('run --detach', () => {
  it('prints the id and returns while the command runs; another process gets every byte and the exit status', async () => {
    const text = `head -c 200000 /dev/zero | tr '\\0' x; echo err >&2; ${waitFor('go')}; printf '\\000\\377end'; exit 9`
    const begun = await shop.call(['run', 'vm01', '--detach', '-c', text])
    expect(begun).toMatchObject({ status: 0, stderr: '' })
    expect(begun.stdout).toMatch(/^[A-Za-z0-9._-]+\n$/)
    const runId = begun.stdout.trim()
    expect(await listed(runId)).toMatchObject([{ vm_id: 'vm01', state: 'running', exit_code: null, known: 'both' }])

    const following = ended(shop.start(['runs', 'attach', runId]))
    await writeFile(shop.path('go'), '')
    const { status, stdoutBytes, stderr } = await following
    const whole = Buffer.concat([Buffer.alloc(200_000, 'x'), Buffer.from('\0\xffend', 'latin1')])
    expect({ status, stderr }).toEqual({ status: 9, stderr: 'err\n' })
    expect(createHash('sha256').update(stdoutBytes).digest('hex')).toBe(createHash('sha256').update(whole).digest('hex'))
    expect(await listed(runId)).toMatchObject([{ state: 'exited', exit_code: 9, stdout_bytes: whole.length, stderr_bytes: 4, cut: false, evidence: expect.stringMatching(/./) as string }])

    expect((await shop.call(['runs', 'attach', runId, '--stdout-offset', '200002'])).stdout).toBe('end')
    const { rows: [row] } = await shop.call(['runs', 'attach', runId, '--stdout-offset', '200002', '--json'])
    expect(row).toMatchObject({ run_id: runId, vm_id: 'vm01', operation: 'run', ended: 'exited', exit_code: 9, stdout: 'end', error: null })
  })

  it('gives the id of each of several hosts, for people and as JSON', async () => {
    const people = await shop.call(['run', 'vm01,vm02', '--detach', '--run-id', 'pair', '--', 'true'])
    expect(people.stdout.split('\n').sort()).toEqual(['', 'vm01: pair', 'vm02: pair'])
    const { rows } = await shop.call(['run', 'vm01,vm02', '--detach', '--run-id', 'pair', '--json', '--', 'true'])
    expect(rows.sort((a, b) => String(a['vm_id']).localeCompare(String(b['vm_id'])))).toEqual([
      { run_id: 'pair', vm_id: 'vm01', started: false, error: null },
      { run_id: 'pair', vm_id: 'vm02', started: false, error: null },
    ])
    expect((await shop.call(['runs', 'attach', 'pair', '--host', 'vm02'])).status).toBe(0)
  })

  it('starts a script, which is removed when it has ended', async () => {
    await writeFile(shop.path('s.sh'), '#!/bin/sh\necho "script $1"\nexit 3\n')
    const { stdout, stderr } = await shop.call(['script', 'vm01', 's.sh', '--detach', '--', 'a b'])
    expect(stderr).toBe('')
    expect(await shop.call(['runs', 'attach', stdout.trim()])).toMatchObject({ status: 3, stdout: 'script a b\n' })
  })
})

describe('run --run-id', () => {
  it('starts the same command once, whoever asks and however often, and gives all of them its output', async () => {
    const words = ['run', 'vm01', '--run-id', 'once', '-c', `echo x >>${shop.path('count')}; sleep 0.3; echo done`]
    const calls = await Promise.all([shop.call(words), shop.call(words), shop.call(words)])
    const later = await shop.call(words)
    expect([...calls, later].map(({ status, stdout }) => ({ status, stdout }))).toEqual(Array(4).fill({ status: 0, stdout: 'done\n' }))
    expect(await lineCount('count')).toBe(1)
  })

  it('refuses another command under the same id, and says so', async () => {
    await shop.call(['run', 'vm01', '--run-id', 'taken', '--', 'true'])
    const { status, stderr } = await shop.call(['run', 'vm01', '--run-id', 'taken', '-c', `touch ${shop.path('never')}`])
    expect(status).toBe(125)
    expect(stderr).toContain('another command')
    expect(existsSync(shop.path('never'))).toBe(false)
  })

  it.each([['../x'], ['a b'], ['-x'], [''], ['a'.repeat(65)]])('refuses the id %j', async (id) => {
    expect((await shop.call(['run', 'vm01', `--run-id=${id}`, '--', 'true'])).status).toBe(125)
  })
})

describe('Ctrl-C', () => {
  it.each([
    ['on run --durable', ['run', 'vm01', '--durable', '--run-id', 'left-run']],
    ['on runs attach', ['runs', 'attach', 'left-attach']],
  ])('%s leaves the run alone, says how to come back, and gives 130', async (_, words) => {
    const runId = words.at(-1) ?? ''
    const command = ['-c', `echo $$ >${shop.path(runId)}; echo begun; ${waitFor(`${runId}.go`)}; echo end`]
    if (words[0] === 'runs') await shop.call(['run', 'vm01', '--detach', '--run-id', runId, ...command])
    const child = shop.start(words[0] === 'runs' ? words : [...words, ...command])
    const rest = ended(child)
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    child.kill('SIGINT')
    const { status, stderr } = await rest
    expect(status).toBe(130)
    expect(stderr).toContain(`remex runs attach ${runId}`)
    expect(isAlive(await pidIn(runId))).toBe(true)
    await writeFile(shop.path(`${runId}.go`), '')
    expect(await shop.call(['runs', 'attach', runId])).toMatchObject({ status: 0, stdout: 'begun\nend\n' })
  })
})

describe('Ctrl-C on several hosts', () => {
  it('says of each how to come back, and counts none as ended', async () => {
    const child = shop.start(['run', 'vm01,vm02', '--run-id', 'many', '-c', `echo begun; ${waitFor('many.go')}`])
    const rest = ended(child)
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await until(() => seen.includes('vm01') && seen.includes('vm02'), { what: 'the output of both hosts' })
    child.kill('SIGINT')
    const { status, stderr } = await rest
    expect(status).toBe(130)
    expect(stderr).toContain('remex runs attach many --host vm01\n')
    expect(stderr).toContain('remex runs attach many --host vm02\n')
    expect(stderr).toContain('remex: 2 hosts: 0 succeeded, 2 left running\n')
    expect((await shop.call(['runs', 'attach', 'many'])).stderr).toContain('vm01, vm02')
    await writeFile(shop.path('many.go'), '')
    expect(await shop.call(['runs', 'attach', 'many', '--host', 'vm02'])).toMatchObject({ status: 0, stdout: 'begun\n' })
  })
})

describe('a client that is killed', () => {
  it('leaves a run that is listed, an audit record without an end, and output that attach gives whole', async () => {
    const child = shop.start(['run', 'vm01', '--run-id', 'orphan', '-c', `echo begun; ${waitFor('orphan.go')}; echo end; exit 5`])
    const gone = new Promise((resolve) => child.once('exit', resolve))
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    child.kill('SIGKILL')
    await gone
    expect(await listed('orphan')).toMatchObject([{ state: 'running', known: 'both' }])
    const records = (await shop.call(['audit', 'list', '--json'])).rows.filter((row) => row['run_id'] === 'orphan')
    expect(records.map((row) => [row['event'], row['operation']])).toEqual([['begin', 'run']])
    await writeFile(shop.path('orphan.go'), '')
    expect(await shop.call(['runs', 'attach', 'orphan'])).toMatchObject({ status: 5, stdout: 'begun\nend\n', stderr: '' })
    expect(await listed('orphan')).toMatchObject([{ state: 'exited', exit_code: 5 }])
    expect((await shop.call(['audit', 'verify'])).status).toBe(0)
  })
})

describe('runs cancel', () => {
  it('ends the whole tree, says so, and gives 0; a second one and one of a finished run change nothing', async () => {
    await shop.call(['run', 'vm01', '--detach', '--run-id', 'doomed', '-c', `trap '' TERM; echo $$ >${shop.path('doomed')}; sleep 60 & sleep 60; sleep 60`])
    const pid = await pidIn('doomed')
    const { status, stdout } = await shop.call(['runs', 'cancel', 'doomed'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^vm01: run doomed: cancelled; \d+ processes ended on the host, none is left\n$/)
    expect(isAlive(pid)).toBe(false)
    expect(await listed('doomed')).toMatchObject([{ state: 'cancelled' }])
    expect((await shop.call(['runs', 'cancel', 'doomed'])).status).toBe(0)
    expect((await shop.call(['runs', 'attach', 'doomed'])).status).toBe(130)

    await shop.call(['run', 'vm01', '--run-id', 'finished', '-c', 'exit 4'])
    expect(await shop.call(['runs', 'cancel', 'finished'])).toMatchObject({ status: 0, stdout: 'vm01: run finished: had ended before: exited 4\n' })
    expect((await shop.call(['runs', 'cancel', 'finished', '--json'])).rows).toMatchObject([{ ended: 'exited', exit_code: 4 }])
  })
})

describe('runs', () => {
  it.each([['show'], ['attach'], ['cancel']])('%s of a run that nobody knows is RUN_NOT_FOUND', async (name) => {
    const { status, rows } = await shop.call(['runs', name, 'nobody', '--json'])
    expect(status).toBe(125)
    expect(rows).toMatchObject([{ error: { code: 'RUN_NOT_FOUND' } }])
  })

  it('show says what the state is known by', async () => {
    await shop.call(['run', 'vm01', '--run-id', 'shown', '-c', 'echo twelve bytes'])
    const { status, stdout } = await shop.call(['runs', 'show', 'shown'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^run {7}shown\nhost {6}vm01\nstate {5}exited 0\nevidence {2}\S.*\ncommand {3}echo twelve bytes\n/)
  })

  it('prune removes what has ended, here and on the host, and never what runs', async () => {
    await shop.call(['run', 'vm02', '--run-id', 'old', '--', 'true'])
    await shop.call(['run', 'vm02', '--detach', '--run-id', 'alive', '-c', waitFor('alive.go')])
    expect(await shop.call(['runs', 'prune', 'vm02'])).toMatchObject({ status: 0, stdout: '' })
    const { rows, status } = await shop.call(['runs', 'prune', 'vm02', '--older-than', '0', '--json'])
    expect(status).toBe(0)
    expect(rows).toMatchObject([{ vm_id: 'vm02', error: null }])
    expect(rows[0]?.['removed']).toContain('old')
    expect(rows[0]?.['removed']).not.toContain('alive')
    expect(await listed('old')).toEqual([])
    expect((await readdir(shop.path('state', 'runs'))).filter((name) => name.startsWith('old.'))).toEqual([])
    expect(await listed('alive')).toMatchObject([{ state: 'running' }])
    await writeFile(shop.path('alive.go'), '')
  })
})

describe('a durable command', () => {
  it('that is too long for one argument is refused, and nothing is started', async () => {
    const called = await shop.call(['run', 'vm01', '--durable', '-c', `: ${'x'.repeat(125_000)}`])
    expect(called).toMatchObject({ status: 125, stderr: expect.stringContaining('at most') as string })
  })
})

describe('a host that cannot be asked', () => {
  it('has in the list what our own notes say, as unreachable, with the reason', async () => {
    await shop.call(['run', 'vm02', '--detach', '--run-id', 'away', '--', 'true'])
    await shop.server('vm02').close()
    expect(await listed('away')).toMatchObject([{ vm_id: 'vm02', state: 'unreachable', known: 'registry', command: 'true', evidence: expect.stringMatching(/cannot be asked/) as string }])
    expect((await shop.call(['runs', 'cancel', 'away'])).status).toBe(125)
    expect((await shop.call(['runs', 'attach', 'away'])).status).toBe(125)
    expect((await shop.call(['runs', 'list'])).status).toBe(1)
  })
})
