import { spawnSync, type ChildProcess } from 'node:child_process'
import { mkdir, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { findProgram } from '../../../testkit/daemon.ts'
import { until } from '../../../testkit/until.ts'
import { buildCommandLine, ended, Workshop, type Ended } from '../workshop.ts'

const ENTER = '\u001b[?1049h'
const LEAVE = '\u001b[?1049l'

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  const servers = Object.fromEntries(['vm01', 'vm02', 'vm03'].map((id) => [id, { env: { NAME: id } }]))
  shop = await Workshop.with(Object.keys(servers), { servers })
  await mkdir(shop.path('tmp'))
}, 60_000)

beforeEach(async () => {
  await rm(shop.path('go'), { force: true })
})

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

/** A call on a terminal of a known size, which says afterwards how it ended and how the terminal was left. */
class Call {
  readonly child: ChildProcess
  readonly end: Promise<Ended>
  seen = ''

  constructor(words: readonly string[], { env = {}, size = 'rows 30 cols 100' }: { env?: NodeJS.ProcessEnv; size?: string } = {}) {
    const text = `stty ${size}; sh -c 'echo $$ >${shop.path('pid')}; exec "$0" "$@"' ${shop.commandText(words)}; echo "status $?"; stty -a`
    this.child = shop.startTextOnTerminal(text, { TMPDIR: shop.path('tmp'), ...env })
    this.end = ended(this.child)
    this.child.stdout?.on('data', (chunk: Buffer) => (this.seen += chunk.toString()))
  }

  type(keys: string): void {
    this.child.stdin?.write(keys)
  }

  async shows(text: string): Promise<void> {
    await until(() => this.seen.includes(text), { what: `${JSON.stringify(text)} on the terminal` })
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    process.kill(Number(await readFile(shop.path('pid'), 'utf8')), signal)
  }

  /** What is on the terminal behind the last screen. */
  async after(): Promise<string> {
    await this.end
    return this.seen.slice(this.seen.lastIndexOf(LEAVE) + LEAVE.length).replaceAll('\r\n', '\n')
  }
}

/** Writes, waits for a file, writes again. */
const WAITS = (more = ''): string => `echo "begun on $NAME"; echo "same on all"; echo "err of $NAME" >&2; until [ -e ${shop.path('go')} ]; do sleep 0.05; done; ${more} echo "done on $NAME"`

const go = (): Promise<void> => writeFile(shop.path('go'), '')

/** The lines of the hosts in a text, by host, each host's in their order. */
function linesByHost(text: string): Record<string, readonly string[]> {
  const all = text.replaceAll(/\u001b\[\d*m/g, '').split('\n')
  return Object.fromEntries(['vm01', 'vm02', 'vm03'].map((id) => [id, all.filter((line) => line.startsWith(`${id}:`)).toSorted()]))
}

async function expectRestored({ seen }: Call): Promise<void> {
  expect(seen.split(ENTER).length).toBe(seen.split(LEAVE).length)
  expect(seen.lastIndexOf('\u001b[?25h')).toBeGreaterThan(seen.lastIndexOf('\u001b[?25l'))
  expect(seen.lastIndexOf('\u001b[?7h')).toBeGreaterThan(seen.lastIndexOf('\u001b[?7l'))
  expect(seen).toMatch(/[ \n]icanon/)
  expect(seen).toMatch(/[ \n]echo /)
  expect(await readdir(shop.path('tmp'))).toEqual([])
}

describe.skipIf(!findProgram('script'))('a run on several hosts, on a terminal', () => {
  it('is seen on a screen while it lasts, and printed in whole afterwards', async () => {
    const call = new Call(['run', 'all', '-c', WAITS('[ $NAME != vm02 ] || exit 3;')])
    await call.shows('0/3 hosts done')
    await call.shows('same on all')
    await go()
    const after = await call.after()
    expect(after).toContain('status 1')
    expect(after).toContain('remex: 3 hosts: 2 succeeded, 1 failed\nremex:   vm02: exit status 3')
    expect(call.seen.indexOf(ENTER)).toBeLessThan(call.seen.indexOf('0/3 hosts done'))
    await expectRestored(call)
  })

  it('has the same lines printed as with --no-live', async () => {
    const words = ['run', 'all', '--no-color', '-c', WAITS()]
    const [live, plain] = [new Call(words), new Call([...words.slice(0, 2), '--no-live', ...words.slice(2)])]
    await live.shows(ENTER)
    await plain.shows('begun on vm03')
    await go()
    await plain.end
    expect(plain.seen).not.toContain(ENTER)
    const beforeScreen = (await live.end).stdout.slice(0, live.seen.indexOf(ENTER)).replaceAll('\r\n', '\n')
    expect(linesByHost(beforeScreen + (await live.after()))).toEqual(linesByHost(plain.seen.replaceAll('\r\n', '\n')))
  })

  it('shows no screen where it is over at once', async () => {
    const call = new Call(['run', 'vm01,vm02', '--', 'true'])
    await call.end
    // A slow machine may take longer than what is at once.
    if (call.seen.includes(ENTER)) await expectRestored(call)
    expect(call.seen).toContain('remex: 2 hosts: 2 succeeded')
  })

  it('folds equal lines by the key f', async () => {
    const call = new Call(['run', 'all', '-c', WAITS()])
    await call.shows(ENTER)
    await call.shows('begun on vm03')
    call.type('f')
    await call.shows('-- lines, folded')
    await call.shows('vm[01-03]:')
    await go()
    expect(await call.after()).toContain('status 0')
  })

  it('cancels one host by the key c, with its processes, and goes on with the others', async () => {
    const call = new Call(['run', 'all', '-c', WAITS()])
    await call.shows(ENTER)
    await call.shows('begun on vm02')
    call.type('cvm0')
    await call.shows('cancel which host? vm0_')
    call.type('2\r')
    await call.shows('1 cancelled')
    await go()
    const after = await call.after()
    expect(after).toMatch(/vm02: \d process(es)? ended on the host, none is left/)
    expect(after).toContain('remex: 3 hosts: 2 succeeded, 1 cancelled')
    expect(after).toContain('done on vm01')
    expect(after).not.toContain('done on vm02')
    expect(after).toContain('status 1')
  })

  it('does not begin on a host that was cancelled while it waited', async () => {
    const call = new Call(['run', 'all', '--parallel', '1', '-c', WAITS()])
    await call.shows('1 running, 2 waiting')
    call.type('cvm03\r')
    await call.shows('vm03: cancelled, it will not start')
    await go()
    expect(await call.after()).toContain('remex: 3 hosts: 2 succeeded, 1 not started')
    expect(call.seen).not.toContain('begun on vm03')
  })

  it('says of a durable run that it is not cancelled here, and only leaves it', async () => {
    const call = new Call(['run', 'all', '--durable', '-c', WAITS()])
    await call.shows(ENTER)
    await call.shows('begun on vm02')
    call.type('cvm02\r')
    await call.shows('vm02: the run is durable and outlives this; to end it: remex runs cancel')
    call.type('q')
    const after = await call.after()
    expect(after).toContain('3 left running')
    expect(after).toContain('status 130')
    await go()
  })

  it.each([
    ['the key q', { type: 'q' }],
    ['Ctrl-C', { type: '\u0003' }],
    ['Ctrl-C while an id is typed', { type: 'cvm\u0003' }],
    ['TERM', { kill: 'SIGTERM' }],
    ['INT', { kill: 'SIGINT' }],
  ] as const)('is ended on all hosts by %s, and the terminal is as it was', async (_, end) => {
    const call = new Call(['run', 'all', '-c', WAITS()])
    await call.shows(ENTER)
    await call.shows('begun on vm03')
    if ('type' in end) call.type(end.type)
    else await call.kill(end.kill)
    const after = await call.after()
    expect(after).toContain('remex: interrupted: ending what runs on the hosts')
    expect(after).toContain('remex: 3 hosts: 0 succeeded, 3 cancelled')
    expect(after).toContain('status 130')
    await expectRestored(call)
  })

  it('is left at once by q and q, with what was printed and where something may still run', async () => {
    const call = new Call(['run', 'all', '-c', `trap "" TERM; sleep 0.8; ${WAITS()}`])
    await call.shows(ENTER)
    await call.shows('begun on vm03')
    call.type('q')
    await call.shows('once more to leave at once')
    call.type('q')
    const after = await call.after()
    expect(after).toContain('err of vm03')
    expect(after).toMatch(/left at once; processes may still run on .*vm03/)
    expect(after).toContain('status 130')
    await expectRestored(call)
    await go()
  })

  it('makes control characters of hosts visible on the screen too', async () => {
    const call = new Call(['run', 'all', '-c', `printf '\\033[2Jforged\\n'; ${WAITS()}`])
    await call.shows(ENTER)
    await call.shows(String.raw`\x1b[2Jforged`)
    await go()
    await call.end
    expect(call.seen).not.toContain('\u001b[2Jforged')
  })

  it('has no colour on the screen with --no-color', async () => {
    const call = new Call(['run', 'all', '--no-color', '-c', WAITS()])
    await call.shows('0/3 hosts done')
    await go()
    await call.end
    expect(call.seen).not.toMatch(/\u001b\[[1-9]\d*m/)
  })

  it.each([
    ['--no-live', ['--no-live'], {}],
    ['--quiet', ['--quiet'], {}],
    ['--json', ['--json'], {}],
    ['--gather', ['--gather'], {}],
    ['TERM=dumb', [], { env: { TERM: 'dumb' } }],
    ['CI', [], { env: { CI: 'true' } }],
    ['a terminal that is too small', [], { size: 'rows 9 cols 100' }],
    ['a terminal that does not know its size', [], { size: 'rows 0 cols 0' }],
  ])('shows no screen with %s', async (_, words, options) => {
    const call = new Call(['run', 'vm01,vm02', ...words, '-c', 'sleep 0.6; echo over'], options)
    await call.end
    expect(call.seen).toContain('over')
    expect(call.seen).not.toContain(ENTER)
  })

  it('gives the terminal back while it is too small', async () => {
    const call = new Call(['run', 'all', '-c', `until [ -e ${shop.path('small')} ]; do sleep 0.05; done; ${WAITS()}`])
    await call.shows(ENTER)
    const tty = await terminalOf()
    const resize = (rows: number): void => void spawnSync('stty', ['-F', tty, 'rows', String(rows)])
    resize(5)
    await call.shows(LEAVE)
    resize(30)
    await until(() => call.seen.split(ENTER).length === 3, { what: 'the screen again' })
    await writeFile(shop.path('small'), '')
    await go()
    expect(await call.after()).toContain('status 0')
    await expectRestored(call)
  })
})

describe.skipIf(!findProgram('script') || !findProgram('ssh-keygen'))('a question during a live view', () => {
  it('is asked on the terminal as it was, behind what was printed so far, and the view goes on', async () => {
    spawnSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'pass1234', '-f', shop.path('keys', 'id_ed25519_vm02')])
    const call = new Call(['run', 'all', '--parallel', '1', '-c', 'sleep 0.8; echo "over on $NAME"; sleep 0.4'])
    await call.shows('Passphrase of ')
    const asked = call.seen.slice(0, call.seen.indexOf('Passphrase of '))
    expect(asked.slice(asked.lastIndexOf(LEAVE))).toContain('over on vm01')
    call.type('pass1234\r')
    await until(() => call.seen.split(ENTER).length === 3, { what: 'the screen again' })
    const after = await call.after()
    expect(after).toContain('over on vm02')
    expect(after).not.toContain('over on vm01')
    expect(after).toContain('remex: 3 hosts: 3 succeeded')
    await expectRestored(call)
  })
})

/** The terminal that the call runs on. */
async function terminalOf(): Promise<string> {
  const pid = (await readFile(shop.path('pid'), 'utf8')).trim()
  return readlink(`/proc/${pid}/fd/0`)
}
