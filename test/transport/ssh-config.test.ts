import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { resolveBySshConfig, type SshConfigAnswer, type SshConfigQuestion } from '../../src/transport/openssh/ssh-config.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { failureOf } from '../failure-of.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-ssh-config-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const asking = resolveBySshConfig(process.env)

async function put(text: string): Promise<string> {
  const path = join(directory, 'config')
  await writeFile(path, text)
  return path
}

const ask = async (text: string, question: Partial<SshConfigQuestion> = {}): Promise<SshConfigAnswer> =>
  asking({ vmId: 'vm01', alias: 'db', file: await put(text), ...question })

describe.skipIf(!findProgram('ssh'))('the settings of ssh for a host', () => {
  const login = userInfo().username

  it.each<[string, string, Partial<SshConfigQuestion>, Partial<SshConfigAnswer>]>([
    ['are those of ssh where nothing is set', '', {}, { address: 'db', port: 22, login, proxied: false }],
    ['are those of the patterns that match', 'Host web\n Port 1\nHost d?\n HostName 10.0.0.7\n Port 2222\nHost *\n User ada\n Port 3\n', {}, { address: '10.0.0.7', port: 2222, login: 'ada' }],
    ['have the alias in the name', 'Host *\n HostName %h.example.org\n', {}, { address: 'db.example.org' }],
    ['leave the address to the entry', 'Host db\n HostName 10.0.0.7\n Port 2222\n', { address: '10.9.9.9' }, { address: '10.9.9.9', port: 2222 }],
    ['leave port and login to the entry', 'Host db\n HostName 10.0.0.7\n Port 2222\n User ada\n', { port: 22, login: String.raw`DOM\bob` }, { address: '10.0.0.7', port: 22, login: String.raw`DOM\bob` }],
    ['take an IPv6 address of the entry as it is', '', { address: 'fe80::1%eth0' }, { address: 'fe80::1%eth0' }],
    ['take an IPv6 address for an alias', '', { alias: '2001:db8::1' }, { address: '2001:db8::1' }],
    ['are asked by the alias, whatever the address is', 'Host 10.*\n Port 1\nHost db\n Port 2\n', { address: '10.0.0.1' }, { port: 2 }],
    ['name a jump', 'Host db\n ProxyJump ada@bastion:2200\n', {}, { proxied: true }],
    ['name a command as the way', 'Host db\n ProxyCommand nc %h %p\n', {}, { proxied: true }],
    ['can say that there is neither', 'Host db\n ProxyJump none\nHost *\n ProxyJump bastion\n', {}, { proxied: false }],
    ['name the key by an alias', 'Host db\n HostKeyAlias db.internal\n', {}, { hostKeyAlias: 'db.internal' }],
    ['pass over an Include that is not there', 'Include nowhere/*\nInclude /nowhere/config\nHost db\n Port 5\n', {}, { port: 5 }],
    ['are by the first value of several', 'Host db\n Port 5\nHost d*\n Port 6\n', {}, { port: 5 }],
  ])('%s', async (_sentence, text, question, expected) => {
    expect(await ask(text, question)).toMatchObject(expected)
  })

  it('have no alias of the key and no way where none is set', async () => {
    expect(await ask('')).toEqual({ address: 'db', port: 22, login, proxied: false })
  })

  it('can come from an included file', async () => {
    await mkdir(join(directory, 'conf.d'))
    await writeFile(join(directory, 'conf.d', 'fleet'), 'Host db\n HostName 10.0.0.8\n')
    expect(await ask(`Include ${directory}/conf.d/*\n`)).toMatchObject({ address: '10.0.0.8' })
  })

  it('can depend on programs, which know HOME, PATH and the agent of this program and nothing else', async () => {
    const env = { ...process.env, HOME: '/the/home', SSH_AUTH_SOCK: '/the/agent', REMEX_KEY_PASSPHRASE: 'hunter2' }
    const file = await put(`Match exec "env >${directory}/seen"\n Port 7\n`)
    expect(await resolveBySshConfig(env)({ vmId: 'vm01', alias: 'db', file })).toMatchObject({ port: 7 })
    const seen = await readFile(join(directory, 'seen'), 'utf8')
    expect(seen.split('\n')).toEqual(expect.arrayContaining(['HOME=/the/home', 'SSH_AUTH_SOCK=/the/agent', 'LC_ALL=C', `PATH=${process.env['PATH'] ?? ''}`]))
    expect(seen).not.toContain('hunter2')
  })

  it('are asked once for each question, and again after a failure', async () => {
    const file = await put(`Match exec "echo asked >>${directory}/log"\n Port 7\n`)
    const resolve = resolveBySshConfig(process.env)
    const question = { vmId: 'vm01', alias: 'db', file }
    await Promise.all([resolve(question), resolve({ ...question })])
    await resolve(question)
    expect(await readFile(join(directory, 'log'), 'utf8')).toBe('asked\n')
    await resolve({ ...question, port: 22 })
    expect(await readFile(join(directory, 'log'), 'utf8')).toBe('asked\nasked\n')
    const broken = { vmId: 'vm01', alias: 'db', file: join(directory, 'later') }
    await failureOf(resolve(broken))
    await writeFile(broken.file, 'Port 8\n')
    expect(await resolve(broken)).toMatchObject({ port: 8 })
  })

  it('that have a mistake are refused, with the words of ssh and where to look', async () => {
    const error = await failureOf(ask('Host db\n Prot 22\n'))
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', vmId: 'vm01', message: expect.stringMatching(/db in .*config for vm01: .*line 2: Bad configuration option: prot/) })
    expect(error.hint).toContain(`ssh -G -F ${directory}/config db`)
  })

  it('of a file that is not there are refused', async () => {
    const file = join(directory, 'nowhere')
    expect(await failureOf(ask('', { file }))).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('No such file') })
  })

  it('that make ssh say much, or move the cursor, are told in one short line', async () => {
    const { message } = await failureOf(ask(`Host db\n\u001b[2J${'x'.repeat(900)} 1\n`))
    expect(message).toContain('…')
    expect(message).not.toMatch(/[\u0000-\u001f]/)
    expect(message.length).toBeLessThan(200 + directory.length + 100)
  })

  it.each(['-oProxyCommand=touch DIRECTORY/made', '-F/dev/null', '-V', '-G'])('are never asked by an option in place of an alias: %s', async (option) => {
    const asked: unknown = await ask('Host *\n HostName ::1\n', { alias: option.replace('DIRECTORY', directory) }).catch((error: unknown) => error)
    // Some versions of ssh refuse such a name, others look for a host of it.
    expect(asked).toMatchObject(asked instanceof RemexError ? { code: 'CONFIG_INVALID', message: expect.not.stringMatching(/usage|does not name/) } : { address: '::1' })
    expect(await readdir(directory)).toEqual(['config'])
  })
})

describe('an ssh', () => {
  /** A program that is found in place of ssh. */
  async function instead(script: string, mode = 0o755): Promise<string> {
    const path = join(directory, 'ssh')
    await writeFile(path, `#!/bin/sh\n${script}\n`)
    await chmod(path, mode)
    return directory
  }
  const by = (PATH: string, limitMs = 30_000): Promise<SshConfigAnswer> => resolveBySshConfig({ PATH }, { limitMs })({ vmId: 'vm01', alias: 'db', file: undefined })

  it('that is not there is named, and how to get it', async () => {
    expect(await failureOf(by('/nowhere'))).toMatchObject({ code: 'LOCAL_NOT_FOUND', vmId: 'vm01', message: expect.stringContaining('not installed'), hint: expect.stringContaining('openssh-client') })
  })

  it('that cannot be started is named as that', async () => {
    expect(await failureOf(by(await instead('', 0o644)))).toMatchObject({ code: 'LOCAL_NOT_FOUND', message: expect.stringContaining('cannot be started') })
  })

  it('that says more than can be meant is not waited for', async () => {
    expect(await failureOf(by(await instead('exec /usr/bin/yes hostname a')))).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('256 KiB') })
  })

  it('that does not come to an end is not waited for', async () => {
    expect(await failureOf(by(await instead('exec /bin/sleep 60'), 200))).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('within 200ms') })
  })

  it.each([
    ['says nothing', '', 'does not name'],
    ['has no number for a port', 'echo hostname a; echo user b; echo port c', 'does not name'],
    ['has an address that is an option', 'echo hostname -a; echo user b; echo port 22', 'not an address'],
    ['fails without a word', 'exit 3', 'no reason'],
  ])('that %s is not believed', async (_what, script, why) => {
    expect(await failureOf(by(await instead(script)))).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(why) })
  })
})
