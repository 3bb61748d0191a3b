import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { build } from 'esbuild'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { passwordLine } from '../../src/cli/password.ts'
import { Turns } from '../../src/cli/turns.ts'
import { quoteWords } from '../../src/core/quote.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { until } from '../../testkit/until.ts'
import { buildCommandLine, ended, typed, Workshop, type Answer, type Ended } from './workshop.ts'

const ROOT = join(import.meta.dirname, '..', '..')

let shop: Workshop
let driver: string

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with(['vm01', 'vm02'], { trusted: false })
  driver = shop.path('driver.mjs')
  await build({ absWorkingDir: ROOT, entryPoints: ['test/cli/password-driver.ts'], outfile: driver, bundle: true, platform: 'node', format: 'esm', logLevel: 'silent' })
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

const TRUST_1 = 'Trust this new key of vm01? [y/N]'
const TRUST_2 = 'Trust this new key of vm02? [y/N]'

describe.skipIf(!findProgram('script'))('a question on a terminal', () => {
  const trust = (answers: readonly Answer[], words = ['hosts', 'trust', 'vm01,vm02']): Promise<Ended> => typed(shop.startOnTerminal(words), answers)
  const known = (): Promise<string> => readFile(shop.path('known_hosts'), 'utf8')

  beforeEach(async () => {
    await shop.call(['hosts', 'forget', 'vm01,vm02', '--yes'])
    expect(await known()).toBe('')
  })

  it.each([
    ['y', 'y\r'],
    ['Yes in any case, with spaces around it', ' YeS \r'],
    ['y with the newline that scripts type', 'y\n'],
    ['y after another word was taken back', 'no\u007f\u007fy\r'],
  ])('takes for a yes: %s', async (_, keys) => {
    expect((await trust([[TRUST_1, keys]], ['hosts', 'trust', 'vm01'])).status).toBe(0)
    expect(await known()).toBe(shop.server('vm01').knownHosts)
  })

  it.each([
    ['nothing but Return', '\r'],
    ['a word that begins with y', 'yup\r'],
    ['a word with a y in it', 'maybe\r'],
    ['a word with keys that move a choice in other programs', 'what?\r'],
    ['an arrow key and Return', '\u001b[D\r'],
  ])('takes for a no: %s', async (_, keys) => {
    const { status, stdout } = await trust([[TRUST_1, keys]], ['hosts', 'trust', 'vm01'])
    expect(status).toBe(130)
    expect(stdout).toContain('no key was trusted')
    expect(await known()).toBe('')
  })

  it('does not take the rest of what was pasted for the answer to the next', async () => {
    await trust([[TRUST_1, 'y\ry\r'], [TRUST_2, 'n\r']])
    expect(await known()).toBe(shop.server('vm01').knownHosts)
  })

  it('ends the whole command at Ctrl-C with 130, with no further question', async () => {
    const { status, stdout } = await trust([[TRUST_1, 'y\u0003']])
    expect(status).toBe(130)
    expect(stdout).not.toContain(TRUST_2)
    expect(await known()).toBe('')
  })

  it('is cancelled by Ctrl-D, and the next one is asked', async () => {
    const { status, stdout } = await trust([[TRUST_1, '\u0004'], [TRUST_2, 'y\r']])
    expect(status).toBe(1)
    expect(stdout).toContain('vm01: the question was not answered')
    expect(await known()).toBe(shop.server('vm02').knownHosts)
  })

  it.each([
    ['an answer', 'y\r', 0],
    ['Ctrl-C', '\u0003', 130],
    ['Ctrl-D', '\u0004', 130],
    ['Escape', '\u001b', 130],
  ])('leaves the terminal as it was after %s', async (_, keys, status) => {
    const text = `stty -a >before; ${shop.commandText(['hosts', 'trust', 'vm01'])}; s=$?; stty -a >after; exit $s`
    const end = await typed(shop.startTextOnTerminal(text), [[TRUST_1, keys]])
    expect(end.status).toBe(status)
    expect(await readFile(shop.path('after'), 'utf8')).toBe(await readFile(shop.path('before'), 'utf8'))
    expect(end.stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(end.stdout.lastIndexOf('\u001b[?25l'))
  })

  it.each(['SIGTERM', 'SIGHUP'] as const)('leaves the terminal as it was when %s ends the command meanwhile', async (signal) => {
    const command = quoteWords(['/bin/sh', '-c', `echo $$ >pid; exec ${shop.commandText(['hosts', 'trust', 'vm01'])}`])
    const child = shop.startTextOnTerminal(`stty -a >before; ${command}; s=$?; stty -a >after; exit $s`)
    const rest = typed(child, [[TRUST_1, '']])
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await until(() => seen.includes(TRUST_1), { what: 'the question' })
    process.kill(Number(await readFile(shop.path('pid'), 'utf8')), signal)
    expect((await rest).status).toBe(130)
    expect(await readFile(shop.path('after'), 'utf8')).toBe(await readFile(shop.path('before'), 'utf8'))
  })

  it('has no colours with --no-color', async () => {
    const { stdout } = await trust([[TRUST_1, 'n\r']], ['hosts', 'trust', 'vm01', '--no-color'])
    expect(stdout).not.toMatch(/\u001b\[[\d;]*m/)
  })
})

const hex = (text: string): string => Buffer.from(text).toString('hex')

describe('a password', () => {
  async function asked(words: readonly string[], input: string | Buffer): Promise<Ended> {
    const child = spawn(process.execPath, [driver, ...words], { stdio: 'pipe' })
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    return ended(child)
  }

  const onTerminal = (words: readonly string[], answers: readonly Answer[]): Promise<Ended> =>
    typed(shop.startTextOnTerminal(quoteWords([process.execPath, driver, ...words])), answers)

  it.each([
    ['with its newline', 'swordfish\n', 'swordfish'],
    ['without one', 'swordfish', 'swordfish'],
    ['with more behind it', 'swordfish\nmore\n', 'swordfish'],
    ['with spaces, quotes and other letters', ' s"w\'ö rd \u{1f41f} \n', ' s"w\'ö rd \u{1f41f} '],
    ['as long as can be', `${'x'.repeat(4096)}\n`, 'x'.repeat(4096)],
  ])('of --password-stdin is the first line %s, and read once for all', async (_, input, expected) => {
    const { status, stdout } = await asked(['--password-stdin'], input)
    expect({ status, answers: JSON.parse(stdout) as unknown }).toEqual({ status: 0, answers: [hex(expected), hex(expected)] })
  })

  it.each([
    ['missing', '', 'has no password'],
    ['an empty line', '\nsecond\n', 'has no password'],
    ['too long', `${'x'.repeat(4097)}\n`, 'longer than 4096 bytes'],
    ['endless', 'x'.repeat(1_000_000), 'longer than 4096 bytes'],
    ['not UTF-8', Buffer.from([0x66, 0xff, 0x0a]), 'not UTF-8'],
  ])('of --password-stdin is refused where it is %s, and not repeated', async (_, input, message) => {
    const { status, stdout } = await asked(['--password-stdin'], input)
    expect({ status, error: JSON.parse(stdout) as unknown }).toEqual({ status: 125, error: expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) as string }) as object })
    expect(stdout).not.toContain('xxxx')
  })

  it('is put together where it arrives in pieces, also within a character', async () => {
    const bytes = Buffer.from('pöng\nrest')
    const pieces = Array.from(bytes, (byte) => Buffer.of(byte))
    expect((await passwordLine(Readable.from(pieces))).reveal()).toBe('pöng')
  })

  it('without a terminal is an error that names --password-stdin', async () => {
    const { status, stdout } = await asked([], 'swordfish\n')
    expect({ status, error: JSON.parse(stdout) as unknown }).toEqual({ status: 125, error: expect.objectContaining({ code: 'USAGE', hint: expect.stringContaining('--password-stdin') as string }) as object })
  })

  it.skipIf(!findProgram('script'))('is asked for once, and neither it nor its length is shown', async () => {
    const [short, long] = [await onTerminal([], [['Password of tester', 'ab\r']]), await onTerminal([], [['Password of tester', 'swordfish1X\u007f\r']])]
    const answer = (password: string): string => JSON.stringify([hex(password), hex(password)])
    expect([short.status, long.status]).toEqual([0, 0])
    expect(short.stdout).toContain(answer('ab'))
    expect(long.stdout).toContain(answer('swordfish1'))
    expect(long.stdout).not.toContain('swordfish')
    expect(long.stdout.replace(answer('swordfish1'), '')).toBe(short.stdout.replace(answer('ab'), ''))
  })

  it.skipIf(!findProgram('script'))('is asked for with control characters made visible', async () => {
    const { stdout } = await typed(shop.startTextOnTerminal(quoteWords([process.execPath, driver]), { QUESTION: 'Password of \u001b]0;forged\u0007' }), [['forged', 'p\r']])
    expect(stdout).toContain(String.raw`Password of \x1b]0;forged\x07`)
    expect(stdout).not.toContain('\u001b]0')
  })

  it.skipIf(!findProgram('script'))('and passphrases are asked for one after another, each key once', async () => {
    const { status, stdout } = await onTerminal(['--passphrase'], [['Password of tester', 'p\r'], ['Passphrase of a', 'q\r'], ['Passphrase of b', 'r\r']])
    expect(status).toBe(0)
    expect(stdout).toContain(JSON.stringify(['p', 'q', 'r', 'q', 'p'].map(hex)))
  })

  it.skipIf(!findProgram('script'))('of --password-stdin is not read from a terminal, which would show it', async () => {
    const { status, stdout } = await onTerminal(['--password-stdin'], [])
    expect(status).toBe(125)
    expect(stdout).toContain('standard input is a terminal')
  })

  it.skipIf(!findProgram('script'))('is not given after Ctrl-C, and no other question comes', async () => {
    const { status, stdout } = await onTerminal(['--passphrase'], [['Password of tester', 'secret\u0003']])
    expect(status).toBe(130)
    expect(stdout).toContain('CANCELLED')
    expect(stdout).not.toContain('Passphrase of')
  })
})

describe('turns', () => {
  it('are taken in order, and a failure does not hold up the next', async () => {
    const turns = new Turns()
    const said: string[] = []
    const first = turns.take(async () => {
      await Promise.resolve()
      said.push('first')
      throw new Error('first fails')
    })
    const second = turns.take(() => Promise.resolve(said.push('second')))
    await expect(first).rejects.toThrow('first fails')
    await second
    expect(said).toEqual(['first', 'second'])
  })
})

