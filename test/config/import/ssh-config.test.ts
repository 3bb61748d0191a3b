import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { matchesPattern } from '../../../src/config/import/ssh-pattern.ts'
import { importSshConfig } from '../../../src/config/import/ssh-config.ts'
import { settle } from '../../../src/config/import/settle.ts'
import { fromSshConfig, type SshPlace } from './workshop.ts'

const WEB = 'Host web\n  HostName 10.0.0.1\n'

describe('a host of ssh_config', () => {
  const cases: readonly (readonly [sentence: string, text: string, vms: object, place?: SshPlace])[] = [
    ['is every name behind Host that is no pattern', 'Host a b *.c !d\nHost e?\n', { a: { ip: 'a' }, b: { ip: 'b' } }],
    ['has its address, port and login', `${WEB}  Port 2222\n  User bob\n`, { web: { ip: '10.0.0.1', ssh_port: 2222, ssh_user: 'bob' } }],
    ['takes the first of several values', `${WEB}  HostName 10.0.0.2\nHost *\n  HostName 10.0.0.3\n  User all\n`, { web: { ip: '10.0.0.1', ssh_user: 'all' } }],
    ['takes what stands before every Host', `User first\n${WEB}  User second\n`, { web: { ip: '10.0.0.1', ssh_user: 'first' } }],
    ['reads keywords in any case, with "=", quotes and comments', 'HOST web # x\n  hostname="10.0.0.1"\n  pOrT = 23 # x\n', { web: { ip: '10.0.0.1', ssh_port: 23 } }],
    ['keeps a # within a word', 'Host web\n  IdentityFile ~/a#b\n', { web: { ip: 'web', identity_file: '~/a#b' } }, { keys: ['/home/operator/a#b'] }],
    ['is not in a pattern that it excludes', `${WEB}Host * !web\n  User other\n`, { web: { ip: '10.0.0.1' } }],
    ['has tokens of HostName replaced', 'Host web\n  HostName %h.example.com\n', { web: { ip: 'web.example.com' } }],
    ['is in lower case as an address', 'Host Web\n  HostName %h.Example.com\n', { Web: { ip: 'web.example.com' } }],
    ['keeps a public key, which the agent has the rest of', `${WEB}  IdentityFile ~/.ssh/card.pub\n`, { web: { ip: '10.0.0.1', identity_file: '~/.ssh/card.pub' } }, { keys: ['/home/operator/.ssh/card.pub'] }],
    ['has the first key file that is there', `${WEB}  IdentityFile ~/.ssh/no\n  IdentityFile %d/.ssh/%r-%h\n  IdentityFile ~/.ssh/yes\n  User bob\n`, { web: { ip: '10.0.0.1', ssh_user: 'bob', identity_file: '~/.ssh/bob-10.0.0.1' } }, { keys: ['/home/operator/.ssh/bob-10.0.0.1', '/home/operator/.ssh/yes'] }],
    ['has no key file where none is set', WEB, { web: { ip: '10.0.0.1' } }, { keys: ['/home/operator/.ssh/id_ed25519'] }],
    ['has its lines under Match all, host and originalhost', `${WEB}Match host 10.0.0.*\n  User bob\nMatch originalhost web,x\n  Port 23\nMatch all\n  Port 24\n`, { web: { ip: '10.0.0.1', ssh_port: 23, ssh_user: 'bob' } }],
    ['has a jump through another of them by its id', `${WEB}  ProxyJump gate\nHost gate\n  HostName 10.0.0.9\n`, { web: { ip: '10.0.0.1', jump: 'gate' }, gate: { ip: '10.0.0.9' } }],
    ['has a jump through an address', `${WEB}  ProxyJump bob@gate:2200\n`, { web: { ip: '10.0.0.1', jump: 'bob@gate:2200' } }],
    ['has a jump through a plain name with its port', `${WEB}  ProxyJump gate\n`, { web: { ip: '10.0.0.1', jump: 'gate:22' } }],
    ['has a jump through an address as the patterns make it', `${WEB}  ProxyJump gate.corp\nHost *.corp\n  User root\n  Port 23\n`, { web: { ip: '10.0.0.1', jump: 'root@gate.corp:23' } }],
    ['has a jump through one of them as somebody else by its address', `${WEB}  ProxyJump bob@gate\nHost gate\n  HostName 10.0.0.9\n`, { web: { ip: '10.0.0.1', jump: 'bob@10.0.0.9' }, gate: { ip: '10.0.0.9' } }],
    ['has a jump as the user who runs remex, where it has a login of its own', `${WEB}  User bob\n  ProxyJump gate\n`, { web: { ip: '10.0.0.1', ssh_user: 'bob', jump: 'operator@gate' } }],
    ['has all hops of a jump, the first first', `${WEB}  ProxyJump ssh://a@gate:2200,inner,[fd00::1]:23\nHost inner\n`, { web: { ip: '10.0.0.1', jump: 'a@gate:2200,inner,[fd00::1]:23' }, inner: { ip: 'inner' } }],
    ['has no jump where the first value is none', `${WEB}  ProxyJump none\nHost *\n  ProxyJump gate\n`, { web: { ip: '10.0.0.1' } }],
    ['has no jump where a ProxyCommand of none comes first', `${WEB}  ProxyCommand none\nHost *\n  ProxyJump gate\n`, { web: { ip: '10.0.0.1' } }],
    ['has no jump beside a ProxyCommand, which is left to ssh', `${WEB}  ProxyCommand nc %h %p\n  ProxyJump gate\n`, { web: { ip: '10.0.0.1', ssh_config: 'web' } }],
    ['has a jump through another that only ssh reaches', `${WEB}  ProxyJump gate\nHost gate\n  ProxyCommand nc %h %p\n`, { web: { ip: '10.0.0.1', jump: 'gate' }, gate: { ip: 'gate', ssh_config: 'gate' } }],
    ['is left to ssh where the way to its jump is by another', `${WEB}  ProxyJump bob@gate\nHost gate\n  ProxyJump outer.corp\n`, { web: { ip: '10.0.0.1', ssh_config: 'web' }, gate: { ip: 'gate', jump: 'outer.corp' } }],
    ['has a jump through an address whose own jump leads to itself', `${WEB}Host *\n  ProxyJump bob@gate\n`, { web: { ip: '10.0.0.1', jump: 'bob@gate' } }],
    ['is left to ssh where its jump has tokens', `${WEB}  ProxyJump %r@gate\n`, { web: { ip: '10.0.0.1', ssh_config: 'web' } }],
    ['is left to ssh where its jump has a login that ours cannot have', `${WEB}  ProxyJump ann@corp@gate\n`, { web: { ip: '10.0.0.1', ssh_config: 'web' } }],
    ['keeps its port, login and key where it is left to ssh', `${WEB}  Port 2222\n  User bob\n  IdentityFile /k\n  HostKeyAlias x\n  ProxyCommand nc %h %p\n`, { web: { ip: '10.0.0.1', ssh_port: 2222, ssh_user: 'bob', identity_file: '/k', ssh_config: 'web' } }, { keys: ['/k'] }],
    ['has no jump through itself', `${WEB}Host *\n  ProxyJump web\n`, { web: { ip: '10.0.0.1' } }],
  ]
  it.each(cases.map(([sentence, text, vms, place = {}]) => [sentence, text, vms, place] as const))('%s', async (_sentence, text, vms, place) => {
    const outcome = await fromSshConfig(text, place)
    expect({ vms: outcome.vms, leftOut: outcome.leftOut, disabled: outcome.disabled }).toEqual({ vms, leftOut: {}, disabled: {} })
  })
})

describe('Include', () => {
  it('stands where it stands, in the order of the lines', async () => {
    const files = { '/home/operator/.ssh/one': 'Host web\n  User one\n', '/etc/two': 'User two\n' }
    const { vms } = await fromSshConfig('Include one\nHost web x\n  User late\nInclude /etc/two\n', { files })
    expect(vms).toEqual({ web: { ip: 'web', ssh_user: 'one' }, x: { ip: 'x', ssh_user: 'late' } })
  })

  it('under a Host is for that host, and its own Host ends with it', async () => {
    const files = { '/i': 'User included\nHost other\n  Port 23\nHost we?\n  Port 24\n' }
    const { vms } = await fromSshConfig('Host web\n  Include /i\n  HostName 10.0.0.1\nHost other\n  User own\n', { files })
    expect(vms).toEqual({ web: { ip: '10.0.0.1', ssh_user: 'included', ssh_port: 24 }, other: { ip: 'other', ssh_user: 'own' } })
  })

  it('of a file that is not there is passed over', async () => {
    expect((await fromSshConfig('Include nope\nHost web\n')).vms).toEqual({ web: { ip: 'web' } })
  })

  it.each([
    ['in a circle', { '/i': 'Include /i\n' }, /Include within 16 others/],
    ['of very many files', Object.fromEntries(Array.from({ length: 14 }, (_, depth) => [depth === 0 ? '/i' : `/${depth}`, `Include /${depth + 1}\n`.repeat(4)])), /more than 1000 files/],
  ])('%s is an error', async (_, files, message) => {
    await expect(fromSshConfig('Include /i\n', { files })).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) })
  })
})

describe('what cannot be kept', () => {
  const cases: readonly (readonly [sentence: string, text: string, notice: RegExp])[] = [
    ['a Match that would run a program', `Match exec "false"\n  User x\n${WEB}`, /^config:1: this Match .* is left out/],
    ['a Match by user', `Match host web user bob\n  User x\n${WEB}`, /^config:1: this Match/],
    ['HostKeyAlias', `${WEB}  HostKeyAlias x\n`, /^web: HostKeyAlias/],
    ['a key file that is not there', `${WEB}  IdentityFile /nope\n`, /^web: the IdentityFile \/nope is not there/],
    ['a key file with a token that is not known', `${WEB}  IdentityFile /%C\n`, /^web: an IdentityFile with a token/],
    ['an Include of another home', `Include ~bob/config\n${WEB}`, /^config:1: an Include of another user's home/],
    ['what many hosts have, once', `Host a b c d e f g\nHostKeyAlias x\n${WEB}`, /^a, b, c, d, e and 2 more: HostKeyAlias/],
  ]
  it.each(cases)('is told: %s', async (_sentence, text, notice) => {
    const outcome = await fromSshConfig(text)
    expect(outcome.notices).toEqual([expect.stringMatching(notice)])
    expect(outcome.vms).toHaveProperty('web', { ip: '10.0.0.1' })
  })

  it('a ProxyCommand is told, and is in neither the entry nor a notice', async () => {
    const outcome = await fromSshConfig(`${WEB}  ProxyCommand nc --password hunter2 %h %p\n  HostKeyAlias x\n`)
    expect(outcome).toEqual({ vms: { web: { ip: '10.0.0.1', ssh_config: 'web' } }, disabled: {}, leftOut: {}, notices: ['web: its ProxyCommand is kept by ssh_config: the ssh of this machine runs it'] })
  })

  it('a jump that ours cannot say is told', async () => {
    expect((await fromSshConfig(`${WEB}  ProxyJump %r@gate\n`)).notices).toEqual([expect.stringMatching(/^web: its ProxyJump says what a jump cannot/)])
  })

  it('jumps in a circle leave the hosts in, but not enabled', async () => {
    const outcome = await fromSshConfig('Host a\n  ProxyJump b\nHost b\n  ProxyJump a\nHost c\n')
    expect(outcome.vms).toEqual({ a: { ip: 'a', enabled: false }, b: { ip: 'b', enabled: false }, c: { ip: 'c' } })
    expect(outcome.disabled['a']).toContain('circle')
  })

  it('CanonicalizeHostname starts no program', async () => {
    expect((await fromSshConfig('Host web\n  CanonicalizeHostname yes\n  CanonicalDomains example.com\n')).vms).toEqual({ web: { ip: 'web' } })
  })

  it.each([
    ['a name that is no id', 'Host a@b\n', 'a@b', /expected a host id/],
    ['the name all', 'Host all\n', 'all', /expected a host id/],
    ['the name __proto__', 'Host __proto__\n', '__proto__', /expected a host id/],
    ['an address that is none', 'Host web\n  HostName 1.2.3\n', 'web', /^ip: expected/],
    ['a port that is none', 'Host web\n  Port 70000\n', 'web', /^ssh_port: expected/],
    ['a login that is none', 'Host web\n  User -oProxyCommand=x\n', 'web', /^ssh_user: expected/],
    ['a login with a control character', 'Host web\n  User a\u001bb\n', 'web', /^ssh_user: expected/],
  ])('%s leaves the host out, with the reason', async (_, text, name, reason) => {
    const outcome = await fromSshConfig(`${text}Host ok\n  ProxyJump web\n`)
    expect(Object.keys(outcome.vms)).toEqual(['ok'])
    expect(outcome.leftOut[name]).toMatch(reason)
  })

  it.each([
    ['an open quote', 'Host web\n  User "hunter2\n', /^config:2: not a line of ssh_config/],
    ['a Host without a name', 'Host\n', /^config:1: not a line of ssh_config/],
    ['more hosts than can be', `Host ${Array.from({ length: 10_001 }, (_, index) => `h${index}`).join(' ')}\n`, /10001 hosts; at most 10000/],
  ])('%s is an error that does not show the line', async (_, text, message) => {
    await expect(fromSshConfig(text)).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) })
    await expect(fromSshConfig(text)).rejects.not.toMatchObject({ message: expect.stringContaining('hunter2') })
  })
})

describe('a pattern', () => {
  it('matches as its regular expression does', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.'), maxLength: 8 })
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 })
    fc.assert(fc.property(pattern, text, (wild, plain) => {
      const expression = new RegExp(`^${wild.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')}$`)
      expect(matchesPattern(wild, plain)).toBe(expression.test(plain))
    }))
  })

  it('of many stars takes no time', () => {
    expect(matchesPattern(`${'*a'.repeat(200)}b`, 'a'.repeat(2_000))).toBe(false)
  })
})

const hasSsh = spawnSync('ssh', ['-V']).status === 0

describe.skipIf(!hasSsh)('ssh -G (skipped where ssh is not installed)', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'remex-ssh-config-'))
    for (const name of ['key1', 'key#2']) await writeFile(join(folder, name), '')
    await writeFile(join(folder, 'included'), 'User included\nHost i*\n  Port 2023\nHost other\n  HostName never.example\n')
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const cases: readonly (readonly [sentence: string, text: string])[] = [
    ['of first values and defaults', 'User one\nHost a b\n  HostName %h.Example.com\n  Port 23\nHost *\n  Port 24\n  IdentityFile DIR/key1\nHost c\n'],
    ['of negation and wildcards', 'Host a b ab\nHost * !a\n  User notA\nHost ?\n  Port 99\nHost a?\n  Port 98\n'],
    ['of quotes, equals signs and comments', 'Host "a" b=\n  HostName="x.example" # c\n  Port=23\n  IdentityFile "DIR/key1"\nHost c#d e # f\n  IdentityFile DIR/key#2\n'],
    ['of jumps', 'Host a\n  ProxyJump u@j.example:2200\nHost b\n  ProxyJump u@j.example:2200,ssh://v@k.example:33\nHost c\n  ProxyJump none\nHost d\n  ProxyCommand none\nHost ?\n  ProxyJump w@l.example:2\n'],
    ['of an Include under a Host', 'Host in out\n  HostName %h.example\nHost in\n  Include DIR/included\n  Port 24\nHost other\n  Port 25\n'],
    ['of an Include at the top', 'Include DIR/incl* DIR/nope\nHost in\n  HostName in.example\nHost other\n'],
    ['of Match by names', 'Match host x.example\n  User early\nHost a\n  HostName X.example\nMatch host x.example,y\n  User late\nMatch originalhost b* host b\n  Port 23\nMatch all\n  User all\nHost b bb\n'],
    ['of lower and upper case', 'Host Web\n  uSER bob\nHost web\n  PORT 23\n'],
  ]
  it.each(cases)('computes the same %s', async (_sentence, template) => {
    const text = template.replaceAll('DIR', folder)
    const path = join(folder, 'config')
    await writeFile(path, text)
    const { readMatching, isFile } = await import('../../../src/cli/import-files.ts')
    const user = userInfo().username
    const imported = await importSshConfig({ path, text }, { home: userInfo().homedir, osUser: user, include: readMatching, exists: isFile })
    expect(imported.hosts.length).toBeGreaterThan(1)
    const { entries } = settle(imported.hosts)
    for (const { id, address, port, login, identityFile, jump } of imported.hosts) {
      const ours = { hostname: address, port: String(port ?? 22), user: login ?? user, identityfile: identityFile, proxyjump: jump.length === 0 ? undefined : jump.map((hop) => hop.address).join(',') }
      expect({ id, ...ours }).toEqual({ id, ...theirs(path, id) })
    }
    expect(entries.length).toBeGreaterThan(0)
  })

  function theirs(path: string, alias: string): Record<string, string | undefined> {
    const { stdout } = spawnSync('ssh', ['-G', '-F', path, alias], { encoding: 'utf8', timeout: 30_000 })
    const value = (key: string): string | undefined => new RegExp(`^${key} (.*)$`, 'm').exec(stdout)?.[1]
    const file = value('identityfile')
    // Without any it lists the usual ones.
    return { hostname: value('hostname'), port: value('port'), user: value('user'), identityfile: file?.startsWith('~/.ssh/id_') ? undefined : file, proxyjump: value('proxyjump') }
  }
})
