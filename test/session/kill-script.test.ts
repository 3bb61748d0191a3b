import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { killScript } from '../../src/session/kill-script.ts'
import { parseVerdict } from '../../src/session/kill.ts'
import { until } from '../../testkit/until.ts'

const SHELLS = ['dash', 'bash', 'busybox sh'].map((shell) => ({ shell, missing: spawnSync('/bin/sh', ['-c', `command -v ${shell.split(' ')[0]}`]).status !== 0 }))

let folder: string
let runId: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-kill-'))
  runId = `test-${folder.slice(-6)}`
})
afterEach(() => rm(folder, { recursive: true }))

/** Trees that a deadline must end; each writes the pids of its processes, one line each, into the file `pids`. */
const TREES: readonly [string, string, number][] = [
  ['one process', 'echo $$ >> pids; exec sleep 300', 1],
  ['nested shells', 'echo $$ >> pids; sh -c "echo \\$\\$ >> pids; sh -c \\"sleep 300 & echo \\\\\\$! >> pids; wait\\"; :"; :', 3],
  ['a child in a session of its own', 'setsid sh -c "echo \\$\\$ >> pids; sleep 300; :" & wait', 1],
  ['a double-forked daemon', 'sh -c "setsid sh -c \\"echo \\\\\\$\\\\\\$ >> pids; exec sleep 300\\" &"; exit 0', 1],
  ['processes that ignore TERM', 'trap "" TERM; echo $$ >> pids; sh -c "trap \\"\\" TERM HUP INT; echo \\$\\$ >> pids; while :; do sleep 1; done"', 2],
  ['a stopped process', 'sh -c "echo \\$\\$ >> pids; kill -STOP \\$\\$" & wait', 1],
  ['a child that cleared its environment', 'env -i /bin/sh -c "echo \\$\\$ >> pids; sleep 300; :" & wait', 1],
]

describe.each(SHELLS)('the kill script under $shell', ({ shell, missing }) => {
  it.skipIf(missing).each(TREES)('ends %s and counts what it ended', async (_sentence, text, count) => {
    const pids = await start(text, count)
    const verdict = kill(shell)
    expect(verdict).toMatchObject({ survivors: [], scope: 'tree' })
    expect(verdict).toHaveProperty('ended', expect.toSatisfy((ended: number) => ended >= count))
    expect(pids.filter(alive)).toEqual([])
  })

  it.skipIf(missing)('ends a tree that forks all the time', async () => {
    const spread = 'spread() { while :; do sh -c "trap \\"\\" TERM; sleep 300; :" & sleep 0.01; done; }; trap "" TERM; echo $$ >> pids; spread'
    await start(spread, 1)
    expect(kill(shell)).toMatchObject({ survivors: [], scope: 'tree' })
    expect(kill(shell)).toEqual({ ended: 0, survivors: [], scope: 'tree' })
  })

  it.skipIf(missing)('leaves the runs of others alone, also those whose id begins with the same text', async () => {
    const other = spawn('/bin/sh', ['-c', 'sleep 300; :'], { env: { ...process.env, REMEX_RUN_ID: `${runId}0` }, detached: true, stdio: 'ignore' })
    await until(() => existsSync(`/proc/${other.pid}/environ`) && spawnSync('grep', ['-qz', 'REMEX_RUN_ID', `/proc/${other.pid}/environ`]).status === 0, { what: 'the other run' })
    expect(kill(shell)).toEqual({ ended: 0, survivors: [], scope: 'tree' })
    expect(alive(other.pid ?? 0)).toBe(true)
    process.kill(-(other.pid ?? 0), 'SIGKILL')
  })
})

describe('the first process of a run', () => {
  it('is found by its arguments, before it has started any other', async () => {
    const child = spawn('/bin/sh', ['-c', `export REMEX_RUN_ID=${runId}; while :; do :; done`], { detached: true, stdio: 'ignore' })
    await until(() => alive(child.pid ?? 0), { what: 'the first process' })
    expect(kill('sh')).toEqual({ ended: 1, survivors: [], scope: 'tree' })
  })
})

describe('a verdict', () => {
  it.each([
    ['is read from the last line', 'noise\nremex-killed tree 4 12 13\n', { ended: 4, survivors: [12, 13], scope: 'tree' }],
    ['tells that a host has no /proc', 'remex-killed noproc\n', 'noproc'],
    ['is unknown where there is none', '', { ended: 0, survivors: [], scope: 'unknown' }],
    ['is unknown where the line is not whole', 'remex-killed tree', { ended: 0, survivors: [], scope: 'unknown' }],
    ['is unknown where something else follows', 'remex-killed tree 1 x', { ended: 0, survivors: [], scope: 'unknown' }],
  ])('%s', (_sentence, text, verdict) => expect(parseVerdict(text)).toEqual(verdict))
})

async function start(text: string, count: number): Promise<number[]> {
  const child = spawn('/bin/sh', ['-c', text], { cwd: folder, env: { ...process.env, REMEX_RUN_ID: runId }, detached: true, stdio: 'ignore' })
  child.unref()
  return until(
    async () => {
      const lines = await readFile(join(folder, 'pids'), 'utf8').catch(() => '')
      const pids = lines.split('\n').filter(Boolean).map(Number)
      return pids.length >= count && pids
    },
    { what: 'the tree' },
  )
}

function kill(shell: string): ReturnType<typeof parseVerdict> {
  const [program = '', ...args] = shell.split(' ')
  const ran = spawnSync(program, [...args, '-c', killScript(runId, 400)], { encoding: 'utf8' })
  return parseVerdict(ran.stdout)
}

/** A zombie has ended; its parent has only not asked yet. */
function alive(pid: number): boolean {
  const stat = spawnSync('cat', [`/proc/${pid}/stat`], { encoding: 'utf8' }).stdout
  return stat !== '' && !/\) [ZX] /.test(stat)
}
