import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, Workshop, type Ended } from './workshop.ts'

const IDS = ['vm01', 'vm02', 'vm03', 'vm04']
const RULE = '---------------'

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  const servers = Object.fromEntries(IDS.map((id) => [id, { env: { NAME: id } }]))
  const dead = { ip: '127.0.0.1', ssh_port: 1, ssh_user: 'x', identity_file: '/nope', groups: ['dead'] }
  shop = await Workshop.with(IDS, { servers, hosts: { vm05: dead, vm06: dead, vm07: dead, vm08: dead, vm09: dead } })
  await mkdir(shop.path('tmp'))
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

/** Runs shell text on the hosts; its temporary files would be in `tmp`. */
function gather(targets: string, text: string, ...options: readonly string[]): Promise<Ended> {
  return shop.call(['run', targets, '--gather', ...options, '-c', text], { env: { TMPDIR: shop.path('tmp') } })
}

/** A header. */
function under(title: string): string {
  return `${RULE}\n${title}\n${RULE}\n`
}

describe('run --gather', () => {
  it('prints equal output once, under the hosts that gave it', async () => {
    const { status, stdout, stderr } = await gather('vm[01-04]', 'echo hello; echo there')
    expect(stdout).toBe(`${under('vm[01-04] (4)')}hello\nthere\n`)
    expect(stderr).toBe('remex: 4 hosts: 4 succeeded\n')
    expect(status).toBe(0)
  })

  it('prints the largest group first, then in the order of the hosts', async () => {
    const { stdout } = await gather('vm[01-04]', 'case $NAME in vm01) echo one;; vm03) echo three;; *) echo many;; esac')
    expect(stdout).toBe(`${under('vm[02,04] (2)')}many\n${under('vm01')}one\n${under('vm03')}three\n`)
  })

  it('folds only where both streams and the end are the same, and says the end that is no success', async () => {
    const { status, stdout, stderr } = await gather('vm[01-04]', 'echo out; case $NAME in vm01) ;; vm02) echo err >&2;; *) exit 3;; esac')
    expect(stdout).toBe(`${under('vm[03-04] (2): exit status 3')}out\n${under('vm01')}out\n${under('vm02')}out\nstderr:\nerr\n`)
    expect(stderr).toContain('remex: 4 hosts: 2 succeeded, 2 failed\n')
    expect(status).toBe(1)
  })

  it('says of hosts without output that there is none', async () => {
    expect((await gather('vm[01-02]', 'true')).stdout).toBe(under('vm[01-02] (2): no output'))
  })

  it('folds hosts that could not be reached, and tells only the first errors of a kind', async () => {
    const { stdout, stderr } = await gather('all', 'echo hello')
    expect(stdout).toContain(under('vm[05-09] (5): not started (KEY_NOT_FOUND): no output'))
    expect(stderr.match(/^remex: vm0\d/gm)).toHaveLength(3)
    expect(stderr).toContain('remex: and 2 more with KEY_NOT_FOUND; --verbose tells of each\n')
    expect((await gather('all', 'echo hello', '--verbose')).stderr.match(/^remex: vm0\d/gm)).toHaveLength(5)
  })

  it('has the same form for one host, and its exit status', async () => {
    const { status, stdout, stderr } = await gather('vm01', 'echo hello; exit 7')
    expect({ status, stdout, stderr }).toEqual({ status: 7, stdout: `${under('vm01: exit status 7')}hello\n`, stderr: '' })
  })

  it('shows control characters, replaces what is no UTF-8, and lets no host forge a header', async () => {
    const { stdout } = await gather('vm01', String.raw`printf 'a\033[2J\377\r\n'; printf '%s\nvm02\n%s\n' ${RULE} ${RULE}; printf partial`)
    const forged = String.raw`\x2d` + RULE.slice(1)
    expect(stdout).toBe(`${under('vm01')}${String.raw`a\x1b[2J`}\ufffd\n${forged}\nvm02\n${forged}\npartial\n`)
  })

  it('gathers the output of a script', async () => {
    await writeFile(shop.path('s.sh'), '#!/bin/sh\necho "args: $*"\n')
    const { stdout } = await shop.call(['script', 'vm[01-02]', 's.sh', '--gather', '--', 'a b'])
    expect(stdout).toBe(`${under('vm[01-02] (2)')}args: a b\n`)
  })

  it('prints all of large outputs, those that are equal and those that are not, and leaves no file', async () => {
    const { stdout, status } = await gather('vm[01-04]', '[ $NAME = vm02 ] && echo $NAME; yes 0123456789abcdef | head -n 300000; yes err | head -n 50000 >&2')
    const rest = `${'0123456789abcdef\n'.repeat(300_000)}stderr:\n${'err\n'.repeat(50_000)}`
    expect(stdout === `${under('vm[01,03-04] (3)')}${rest}${under('vm02')}vm02\n${rest}`).toBe(true)
    expect(status).toBe(0)
    expect(await readdir(shop.path('tmp'))).toEqual([])
  })

  it('prints what there is when it is interrupted, and leaves no file', async () => {
    const mark = shop.path('interrupted')
    const child = shop.start(['run', 'vm[01-03]', '--gather', '--parallel', '2', '-c', `yes begun | head -n 100000; echo x >>${mark}; exec sleep 60`], { env: { TMPDIR: shop.path('tmp') } })
    const rest = ended(child)
    await until(async () => (await readFile(mark, 'utf8')) === 'x\nx\n', { what: 'both commands' })
    child.kill('SIGINT')
    const { status, stdout } = await rest
    expect(status).toBe(130)
    const [both = '', other] = stdout.split(`${RULE}\nvm03: `)
    expect(both === `${under('vm[01-02] (2): cancelled')}${'begun\n'.repeat(100_000)}`).toBe(true)
    expect(other).toMatch(/^not [^\n]*: no output\n/)
    expect(await readdir(shop.path('tmp'))).toEqual([])
  })

  it('leaves no file where it is left at once', async () => {
    const mark = shop.path('left')
    const child = shop.start(['run', 'vm[01-02]', '--gather', '-c', `trap "" TERM; yes begun | head -n 100000; echo $$ >>${mark}; sleep 60; sleep 60`], { env: { TMPDIR: shop.path('tmp') } })
    const rest = ended(child)
    const pids = await until(async () => /^(\d+)\n(\d+)\n/.exec(await readFile(mark, 'utf8')), { what: 'both commands' })
    const words = new Promise<void>((resolve) => child.stderr?.once('data', () => resolve()))
    child.kill('SIGINT')
    await words
    child.kill('SIGINT')
    expect((await rest).status).toBe(130)
    expect(await readdir(shop.path('tmp'))).toEqual([])
    for (const pid of pids.slice(1)) endIfThere(Number(pid))
  })

  it('says so, and fails, where the output cannot be kept', async () => {
    const call = await shop.call(['run', 'vm[01-02]', '--gather', '-c', 'yes | head -c 200000'], { env: { TMPDIR: shop.path('nowhere') } })
    expect(call.stdout).toBe(under('vm[01-02] (2): its output could not be kept'))
    expect(call.stderr).toMatch(/^remex: the output of vm\[01-02\] could not be kept: .*nowhere: no such file or directory\n {2}Name a directory/m)
    expect(call.status).toBe(1)
  })

  it.each([
    [['--gather', '--json'], '--json and --gather cannot be used together'],
    [['--diff', '--json'], '--json and --diff cannot be used together'],
    [['--gather', '--detach'], '--detach waits for no output, so --gather has none'],
    [['--out-dir', 'x', '--detach'], '--detach waits for no output, so --out-dir has none'],
    [['--out-dir', ''], '--out-dir names no directory'],
  ])('refuses %j before anything is sent', async (options, message) => {
    const before = shop.server('vm01').connections
    const { status, stdout, stderr } = await shop.call(['run', 'vm01', ...options, '--', 'true'])
    expect(status).toBe(125)
    expect(stdout + stderr).toContain(message)
    expect(shop.server('vm01').connections).toBe(before)
  })

  it('has only what the last attempt wrote of a command that was repeated', async () => {
    const mark = shop.path('attempt')
    const text = `[ -e ${mark} ] && { echo second; exit; }; echo first; echo x >${mark}; sleep 60`
    const child = shop.start(['run', 'vm01', '--gather', '--idempotent', '--retries', '2', '--out-dir', 'repeated', '-c', text])
    const rest = ended(child)
    await until(async () => (await readFile(mark, 'utf8')) === 'x\n', { what: 'the first attempt' })
    await until(async () => (await sizesIn('repeated')).includes('first\n'.length), { what: 'its output' })
    shop.server('vm01').dropAll()
    expect((await rest).stdout).toBe(`${under('vm01')}second\n`)
    expect(await readFile(shop.path('repeated', 'vm01.out'), 'utf8')).toBe('second\n')
  })
})

describe('run --diff', () => {
  it('shows the largest group whole and the others by how they differ', async () => {
    const { stdout } = await shop.call(['run', 'vm[01-04]', '--diff', '-c', 'seq 5; [ $NAME = vm02 ] && echo six; [ $NAME = vm03 ] && echo bad >&2 && exit 1; true'])
    expect(stdout).toBe(
      [
        `${under('vm[01,04] (2)')}1\n2\n3\n4\n5`,
        `${under('vm02')}--- vm[01,04]\n+++ vm02\n@@ -3,3 +3,4 @@\n 3\n 4\n 5\n+six`,
        `${under('vm03: exit status 1')}stderr:\n--- vm[01,04]\n+++ vm03\n@@ -0,0 +1,1 @@\n+bad\n`,
      ].join('\n'),
    )
  })

  it('compares with hosts that succeeded, also where more failed', async () => {
    const { stdout } = await shop.call(['run', 'vm[01-03]', '--diff', '-c', 'echo same; [ $NAME = vm02 ]'])
    expect(stdout).toBe(`${under('vm02')}same\n${under('vm[01,03] (2): exit status 1')}same output as vm02\n`)
  })

  it('shows all whole where none succeeded, and one host as it is', async () => {
    const { stdout } = await shop.call(['run', 'vm[01-02]', '--diff', '-c', 'echo $NAME; false'])
    expect(stdout).toBe(`${under('vm01: exit status 1')}vm01\n${under('vm02: exit status 1')}vm02\n`)
    expect((await shop.call(['run', 'vm01', '--diff', '--', 'echo', 'a'])).stdout).toBe(`${under('vm01')}a\n`)
  })
})

describe('the lines of many hosts', () => {
  it('reach us from all of them while one floods', async () => {
    const child = shop.start(['run', 'vm[01-04]', '--no-live', '-c', '[ $NAME = vm01 ] && exec yes; echo "I am $NAME"; sleep 60'])
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString().replaceAll('vm01: y\n', '')))
    await until(() => ['vm02', 'vm03', 'vm04'].every((id) => seen.includes(`${id}: I am ${id}\n`)), { what: 'a line of each' })
    child.kill('SIGINT')
    await new Promise((resolve) => child.once('close', resolve))
  })
})

async function sizesIn(folder: string): Promise<number[]> {
  const names = await readdir(shop.path(folder))
  return Promise.all(names.map(async (name) => (await readFile(shop.path(folder, name))).length))
}

/** Whoever leaves does not look back; the test does. */
function endIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}
