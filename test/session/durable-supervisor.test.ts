import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { killScript } from '../../src/session/kill-script.ts'
import { SUPERVISOR } from '../../src/session/durable/supervisor.ts'
import { endProcesses, findProcesses } from '../../testkit/processes.ts'
import { until } from '../../testkit/until.ts'

const SHELLS = ['dash', 'bash', 'bash --posix', 'busybox sh'].map((shell) => ({ shell, missing: spawnSync('/bin/sh', ['-c', `command -v ${shell.split(' ')[0]}`]).status !== 0 }))
/** Found in the environment of everything that a test starts. */
const MARKER = 'REMEX_TEST_SUPERVISOR'

interface Start {
  readonly shell: string
  readonly command: string
  readonly limit?: string
  readonly most?: number
  readonly cwd?: string
  readonly env?: Record<string, string>
  readonly folder?: string
}

let folder: string
let runId: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'remex-supervisor '))
  runId = `test-${folder.slice(-6)}`
  spawnSync('mkfifo', [join(folder, 'alive')])
})
afterEach(async () => {
  await endProcesses({ marker: `${MARKER}=${runId}` })
  await rm(folder, { recursive: true, force: true })
})

describe.each(SHELLS.filter(({ missing }) => !missing))('the supervisor of durable runs under $shell', ({ shell }) => {
  it.each([
    ['success', 'true', '0', /^Done/],
    ['a status', 'exit 3', '3', /^(Done\(3\)|Exit 3)/],
    ['a status that looks like a signal', 'exit 137', '137', /^(Done\(137\)|Exit 137)/],
    ['a status that looks like a signal, after a while', 'sleep 0.1; exit 137', '137', /^(Done\(137\)|Exit 137)/],
    ['a status that looks like the death of a child', 'sleep 0.1; exit 145', '145', /^(Done\(145\)|Exit 145)/],
    ['KILL', 'kill -KILL $$', '137', /^Killed/],
    ['KILL after a while', 'sleep 0.1; kill -KILL $$', '137', /^Killed/],
    ['TERM', 'kill -TERM $$', '143', /^Terminated/],
    ['PIPE', 'kill -PIPE $$', '141', /^Broken pipe/],
    ['SEGV', 'ulimit -c 0; kill -SEGV $$', '139', /^Segmentation fault/],
    ['a command that there is not', 'exec /nonexistent', '127', /127/],
  ])('tells %s from all else', async (_sentence, command, status, how) => {
    const end = await ended({ shell, command, limit: '50' })
    expect(end).toMatchObject({ status, stdout: expect.stringMatching(/^\d+$/) as string })
    expect(end.how).toMatch(how)
    await until(() => findProcesses({ marker: `${MARKER}=${runId}` }).length === 0, { what: 'nobody to be left', timeoutMs: 700 })
  })

  it('keeps both outputs byte for byte, and gives the input', async () => {
    const input = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7919) % 256))
    await writeFile(join(folder, 'stdin'), input)
    const end = await ended({ shell, command: 'cat; printf "\\000\\377\\n" >&2' })
    expect(end).toMatchObject({ stdout: '100000', stderr: '3' })
    expect(await readFile(join(folder, 'stdout'))).toEqual(input)
    expect(await readFile(join(folder, 'stderr'))).toEqual(Buffer.from([0, 255, 10]))
  })

  it('gives no input where there is none', async () => {
    expect(await ended({ shell, command: 'cat; exit 4' })).toMatchObject({ status: '4', stdout: '0' })
  })

  it('starts in the directory that is asked for, and says so where there is none', async () => {
    await ended({ shell, command: 'pwd', cwd: '/' })
    expect(await readFile(join(folder, 'stdout'), 'utf8')).toBe('/\n')
    await rm(join(folder, 'end'))
    const end = await ended({ shell, command: 'pwd', cwd: '/nonexistent/directory' })
    expect(end.status).not.toBe('0')
    expect(await readFile(join(folder, 'stdout'), 'utf8')).toBe('')
    expect(await readFile(join(folder, 'stderr'), 'utf8')).toContain('/nonexistent/directory')
  })

  it('hands the environment on unchanged, whatever the names, and writes none of it to a file', async () => {
    const names = ['d', 'id', 'limit', 'most', 'kill', 'cwd', 'command', 'child', 'status', 'how', 'boot', 'stop', 'n', 'f', 'nap', 'LC_ALL', 'SECRET']
    const env = Object.fromEntries(names.map((name) => [name, name === 'LC_ALL' ? 'C.UTF-8' : `s3cret-${name}`]))
    const print = names.map((name) => `[ "$${name}" = '${env[name]}' ] || echo ${name}`).join('; ')
    await ended({ shell, command: `${print}; echo $REMEX_RUN_ID`, env, limit: '50' })
    expect(await readFile(join(folder, 'stdout'), 'utf8')).toBe(`${runId}\n`)
    for (const name of await readdir(folder)) if (name !== 'alive') expect(await readFile(join(folder, name), 'utf8')).not.toContain('s3cret')
  })

  it('leaves the umask as it was', async () => {
    await ended({ shell, command: 'umask', cwd: '' })
    expect(await readFile(join(folder, 'stdout'), 'utf8')).toBe(spawnSync('/bin/sh', ['-c', 'umask'], { encoding: 'utf8' }).stdout)
  })

  it('works where PATH leads nowhere', async () => {
    expect(await ended({ shell, command: 'exit 5', env: { PATH: '/nonexistent' } })).toMatchObject({ status: '5', stderr: '0' })
  })

  it('ends the whole tree at the deadline, also what ignores TERM and has a session of its own', async () => {
    const command = 'trap "" TERM; setsid sh -c "trap \\"\\" TERM; sleep 300; :" & sleep 300; :'
    const startMs = performance.now()
    const end = await ended({ shell, command, limit: '0.5' })
    expect(performance.now() - startMs).toBeLessThan(5000)
    expect(end).toMatchObject({ stop: 'timed_out', verdict: expect.stringMatching(/^remex-killed tree [3-9]$/) as string })
    expect(findProcesses({ marker: `REMEX_RUN_ID=${runId}` })).toEqual([])
  })

  it('takes over the reason and the verdict of who cancels', async () => {
    const supervisor = start({ shell, command: 'exec sleep 300', limit: '200' })
    await until(() => findProcesses({ marker: `REMEX_RUN_ID=${runId}` }).length === 1, { what: 'the command' })
    await writeFile(join(folder, 'stop'), 'cancelled\n')
    await endProcesses({ marker: `REMEX_RUN_ID=${runId}` })
    await writeFile(join(folder, 'verdict.new'), 'remex-killed tree 1\n')
    await rename(join(folder, 'verdict.new'), join(folder, 'verdict'))
    await closed(supervisor)
    expect(await endOf(folder)).toMatchObject({ stop: 'cancelled', verdict: 'remex-killed tree 1', status: '137' })
  })

  it('never starts a command that was cancelled before it began', async () => {
    await writeFile(join(folder, 'stop'), 'cancelled\n')
    await writeFile(join(folder, 'verdict'), 'remex-killed tree 0\n')
    expect(await ended({ shell, command: 'echo ran' })).toMatchObject({ stop: 'cancelled', stdout: '0' })
  })

  it('keeps a file under its limit, marks the cut, and the command goes on', async () => {
    const command = 'yes | head -c 5000000; echo done >&2; exit 6'
    const end = await ended({ shell, command, most: 100_000 })
    expect(end).toMatchObject({ status: '6', stdout: '100000', stderr: '5' })
    expect(Object.keys(end)).toContain('cut')
    expect(await readFile(join(folder, 'stdout'), 'utf8')).toBe('y\n'.repeat(50_000))
  })

  it('cuts while the command still writes', async () => {
    const supervisor = start({ shell, command: 'yes | head -c 3000000; sleep 300', most: 100_000 })
    await until(() => existsSync(join(folder, 'cut')) && statSync(join(folder, 'stdout')).size === 100_000, { what: 'the cut' })
    expect(supervisor.exitCode).toBeNull()
  })

  it('that is killed leaves no end, and whoever watches its FIFO sees it go', async () => {
    const supervisor = start({ shell, command: 'echo begun; sleep 300' })
    await until(async () => (await readFile(join(folder, 'stdout'), 'utf8')) !== '', { what: 'the command' })
    const watched = createReadStream(join(folder, 'alive'))
    await new Promise<void>((resolve) => watched.once('open', () => resolve()))
    const gone = new Promise<void>((resolve) => watched.once('end', () => resolve()))
    watched.resume()
    supervisor.kill('SIGKILL')
    await gone
    expect(await readdir(folder)).not.toContain('end')
    expect(await readFile(join(folder, 'begun'), 'utf8')).toMatch(new RegExp(`^\\S+ ${supervisor.pid} \\d+\n$`))
  })

  it('stays when TERM and HUP come', async () => {
    const supervisor = start({ shell, command: 'echo begun; sleep 0.5; exit 8' })
    await until(async () => (await readFile(join(folder, 'stdout'), 'utf8')) !== '' && ignoresTerm(supervisor.pid), { what: 'the supervisor to be ready' })
    for (const signal of ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const) supervisor.kill(signal)
    await closed(supervisor)
    expect(await endOf(folder)).toMatchObject({ status: '8' })
  })

  it('whose directory is removed ends with its command, and keeps the deadline', async () => {
    const supervisor = start({ shell, command: 'exec sleep 300', limit: '1' })
    await until(() => findProcesses({ marker: `REMEX_RUN_ID=${runId}` }).length === 1, { what: 'the command' })
    await rm(folder, { recursive: true })
    await closed(supervisor)
    expect(existsSync(folder)).toBe(false)
    expect(findProcesses({ marker: `${MARKER}=${runId}` })).toEqual([])
  })

  it('begins nothing where its directory cannot be written', async () => {
    await mkdir(join(folder, 'stdout'))
    await closed(start({ shell, command: 'echo ran > ran', cwd: folder }))
    expect((await readdir(folder)).sort()).toEqual(['alive', 'stdout'])
  })

  it.skipIf(process.getuid?.() !== 0)('tells the end on a disk that is full', async () => {
    const disk = join(folder, 'disk')
    await mkdir(disk)
    await chmod(disk, 0o700)
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).status).toBe(0)
    try {
      spawnSync('mkfifo', [join(disk, 'alive')])
      const end = await ended({ shell, command: 'yes | head -c 200000; exit 9', folder: disk })
      expect(end.status).toBe('9')
      expect(Number(end.stdout)).toBe(statSync(join(disk, 'stdout')).size)
    } finally {
      spawnSync('umount', ['-l', disk])
    }
  })
})

it('is short enough to be read in one sitting', () => expect(SUPERVISOR.split('\n').length).toBeLessThan(90))

function start({ shell, command, limit = '', most = 1 << 30, cwd = '', env = {}, folder: place = folder }: Start): ChildProcess {
  const [program = '', ...args] = shell.split(' ')
  const child = spawn(spawnSync('/bin/sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim(), [...args, '-c', SUPERVISOR, 'remex-run', place, runId, limit, String(most), killScript(runId, 400), cwd, command], {
    env: { ...process.env, [MARKER]: runId, ...env },
    detached: true,
    stdio: 'ignore',
  })
  return child
}

async function closed(child: ChildProcess): Promise<void> {
  await until(() => child.exitCode !== null || child.signalCode !== null, { what: 'the supervisor to end', timeoutMs: 20_000 })
}

/** Whether a process ignores SIGTERM, by the kernel's word. */
function ignoresTerm(pid = 0): boolean {
  const [, mask = '0'] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? []
  return (BigInt(`0x${mask}`) & (1n << BigInt(constants.signals.SIGTERM - 1))) !== 0n
}

async function ended(how: Start): Promise<Record<string, string>> {
  await closed(start(how))
  return endOf(how.folder ?? folder)
}

async function endOf(place: string): Promise<Record<string, string>> {
  const lines = (await readFile(join(place, 'end'), 'utf8')).trimEnd().split('\n')
  return Object.fromEntries(lines.map((line) => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1)]))
}
