import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, Workshop, type Ended } from './workshop.ts'

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  const servers = { vm01: { env: { NAME: 'vm01' } }, vm02: { env: { NAME: 'vm02' } } }
  shop = await Workshop.with(['vm01', 'vm02'], { servers, hosts: { vm03: { ip: '127.0.0.1', ssh_port: 1, ssh_user: 'x', identity_file: '/nope' } } })
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

function run(folder: string, targets: string, text: string, ...options: readonly string[]): Promise<Ended> {
  return shop.call(['run', targets, '--out-dir', folder, ...options, '-c', text])
}

/** Name and content of every file in the folder. */
async function filesIn(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(shop.path(folder))).sort()
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(shop.path(folder, name), 'utf8')] as const)))
}

async function modeOf(...names: string[]): Promise<number> {
  return (await stat(shop.path(...names))).mode & 0o7777
}

describe('run --out-dir', () => {
  it('writes both streams of each host to files of their own, beside the lines', async () => {
    const { status, stdout } = await run('plain', 'vm[01-02]', 'echo "out $NAME"; echo "err $NAME" >&2')
    expect(await filesIn('plain')).toEqual({ 'vm01.err': 'err vm01\n', 'vm01.out': 'out vm01\n', 'vm02.err': 'err vm02\n', 'vm02.out': 'out vm02\n' })
    expect(stdout.split('\n').sort()).toEqual(['', 'vm01: out vm01', 'vm02: out vm02'])
    expect(status).toBe(0)
  })

  it('makes the directory and the files for their owner alone', async () => {
    await run('deep/er', 'vm01', 'echo a')
    expect([await modeOf('deep'), await modeOf('deep', 'er'), await modeOf('deep', 'er', 'vm01.out'), await modeOf('deep', 'er', 'vm01.err')]).toEqual([0o700, 0o700, 0o600, 0o600])
  })

  it('keeps bytes as they are, also many of them', async () => {
    const { status } = await run('bytes', 'vm01,vm02', String.raw`head -c 500000 /dev/zero; printf 'a\r\n\377' >&2`, '--gather')
    const [out, err] = [await readFile(shop.path('bytes', 'vm02.out')), await readFile(shop.path('bytes', 'vm02.err'))]
    expect(out.equals(Buffer.alloc(500_000))).toBe(true)
    expect(err).toEqual(Buffer.from([0x61, 0x0d, 0x0a, 0xff]))
    expect(status).toBe(0)
  })

  it('replaces what is there, a link and not its target, and leaves no old output of a host that could not be reached', async () => {
    await mkdir(shop.path('old'))
    await writeFile(shop.path('target'), 'untouched')
    await symlink(shop.path('target'), shop.path('old', 'vm01.out'))
    await writeFile(shop.path('old', 'vm03.out'), 'of yesterday')
    await run('old', 'vm01,vm03', 'echo new')
    expect(await filesIn('old')).toEqual({ 'vm01.err': '', 'vm01.out': 'new\n', 'vm03.err': '', 'vm03.out': '' })
    expect(await readFile(shop.path('target'), 'utf8')).toBe('untouched')
  })

  it('goes with --json, whose objects have the output too, and the files are there when the object is', async () => {
    const { rows } = await run('json', 'vm[01-02]', 'echo "out $NAME"', '--json')
    expect(rows.map((row) => row['stdout']).sort()).toEqual(['out vm01\n', 'out vm02\n'])
    expect(Object.keys(await filesIn('json'))).toHaveLength(4)
  })

  it('goes with --gather', async () => {
    const { stdout } = await run('gather', 'vm[01-02]', 'echo same', '--gather')
    expect(stdout).toContain('vm[01-02] (2)')
    expect(await filesIn('gather')).toEqual({ 'vm01.err': '', 'vm01.out': 'same\n', 'vm02.err': '', 'vm02.out': 'same\n' })
  })

  it('keeps what came until a deadline, and says so', async () => {
    const { stderr } = await run('deadline', 'vm[01-02]', 'echo begun; [ $NAME = vm02 ] || sleep 60', '--timeout', '2s')
    expect((await filesIn('deadline'))['vm01.out']).toBe('begun\n')
    expect(stderr).toContain('remex: deadline has what came until the end of vm01, and the output may not be whole\n')
  })

  it.each(['once', 'twice'])('keeps what came under its name where it is interrupted %s', async (times) => {
    const child = shop.start(['run', 'vm01', '--out-dir', times, '-c', 'trap "" TERM; echo begun; echo $$ >&2; sleep 60; sleep 60'])
    const rest = ended(child)
    const pid = await until(async () => Object.values(await filesIn(times)).find((text) => /^\d+\n/.test(text)), { what: 'the output in a file' })
    await until(async () => Object.values(await filesIn(times)).includes('begun\n'), { what: 'the other stream in a file' })
    child.kill('SIGINT')
    if (times === 'twice') {
      await new Promise<void>((resolve) => child.stderr?.once('data', () => resolve()))
      child.kill('SIGINT')
    }
    const { status, stderr } = await rest
    expect(status).toBe(130)
    expect(await filesIn(times)).toEqual({ 'vm01.err': pid, 'vm01.out': 'begun\n' })
    if (times === 'once') expect(stderr).toContain('what came until the end of vm01')
    spawnSync('kill', ['-KILL', pid.trim()])
  })

  it.each([
    ['a file is in its place', async () => writeFile(shop.path('refused-1'), ''), 'refused-1', 'cannot be a directory: a file is in its place'],
    ['everyone can write to it', async () => mkdir(shop.path('refused-2')).then(() => chmod(shop.path('refused-2'), 0o777)), 'refused-2', 'can be written by everyone'],
  ])('is refused before anything is sent where %s', async (_, make, folder, message) => {
    await make()
    const before = shop.server('vm01').connections
    const { status, stderr } = await run(folder, 'vm01', 'true')
    expect(stderr).toContain(message)
    expect(status).toBe(125)
    expect(shop.server('vm01').connections).toBe(before)
  })

  it('goes on where a file cannot be written, keeps the file that was there, says so once, and fails', async () => {
    await mkdir(shop.path('blocked', 'vm01.out'), { recursive: true })
    const { status, stdout, stderr } = await run('blocked', 'vm[01-02]', 'echo "out $NAME"')
    expect(stdout.split('\n').sort()).toEqual(['', 'vm01: out vm01', 'vm02: out vm02'])
    expect(stderr.match(/vm01: its output was not written; what was there before stays: .*vm01\.out: /g)).toHaveLength(1)
    expect((await readdir(shop.path('blocked'))).sort()).toEqual(['vm01.err', 'vm01.out', 'vm02.err', 'vm02.out'])
    expect(status).toBe(1)
  })

  it('goes on where there is no space left', async () => {
    await mkdir(shop.path('full'))
    await writeFile(shop.path('full', 'vm01.out'), 'of yesterday')
    // More than the limit on one host, less on the other.
    const command = shop.commandText(['run', 'vm[01-02]', '--no-live', '--out-dir', 'full', '-c', 'echo begun; [ $NAME = vm02 ] || head -c 2000000 /dev/zero | tr "\\0" x; echo ended'])
    const { status, stdout } = await ended(shop.startTextOnTerminal(`trap "" XFSZ; ulimit -f 1000; ${command}`))
    expect(stdout).toContain('vm01: its output was not written; what was there before stays: full/vm01.out: file too large')
    expect(stdout).toContain('2 hosts: 2 succeeded')
    expect(await filesIn('full')).toEqual({ 'vm01.err': '', 'vm01.out': 'of yesterday', 'vm02.err': '', 'vm02.out': 'begun\nended\n' })
    expect(status).toBe(1)
  })

  it('writes nothing with --dry-run', async () => {
    await run('dry', 'vm01', 'true', '--dry-run')
    await expect(stat(shop.path('dry'))).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
