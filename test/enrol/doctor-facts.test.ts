import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgeClock, judgeFacts, type FactContext } from '../../src/enrol/doctor/fact-judgements.ts'
import { CHECKSUM_TOOLS, factsScript, parseFacts } from '../../src/enrol/doctor/facts.ts'
import type { Judgement } from '../../src/enrol/doctor/finding.ts'
import { judgeGreeting } from '../../src/enrol/doctor/network-checks.ts'
import { judgeSpace, showSpace } from '../../src/enrol/doctor/space.ts'
import { PICK_TOOL } from '../../src/transfer/checksum.ts'

const NOW_MS = 1_800_000_000_000

const HOST: FactContext = {
  host: { id: 'vm01', login: 'operator', sudo: false },
  serverVersion: 'SSH-2.0-OpenSSH_9.2',
  loginsAtOnce: 1,
  fromMs: NOW_MS,
  toMs: NOW_MS + 100,
}

/** What a host in order answers. */
const ANSWERS: Readonly<Record<string, string | undefined>> = {
  date: String(NOW_MS / 1000),
  uname: 'Linux 6.1.0 x86_64',
  login_shell: '/bin/bash',
  proc: 'yes',
  checksum: 'sha256sum',
  home: '/home/operator',
  home_writable: 'yes',
  df_home: '/dev/sda1 41152736 10000000 31152736 25% /home',
  inodes_home: '/dev/sda1 2621440 100000 2521440 4% /home',
  df_tmp: 'tmpfs 8000000 0 8000000 0% /tmp',
  inodes_tmp: 'tmpfs 1000000 10 999990 1% /tmp',
  uid: '1000',
  sudo: '0',
  server: '10.0.0.1 50000 10.0.0.10 22',
  port: '22',
  maxsessions: '10',
  maxstartups: '10:30:100',
  clientaliveinterval: '0',
  end: 'yes',
}

/** The answers with some of them changed; undefined: not given. */
function answers(changes: Readonly<Record<string, string | undefined>> = {}): Buffer {
  const lines = Object.entries({ ...ANSWERS, ...changes }).flatMap(([name, value]) => (value === undefined ? [] : [`remex-doctor ${name} ${value}\n`]))
  return Buffer.from(lines.join(''))
}

/** What is judged of a host that answers so. */
function judged(changes: Readonly<Record<string, string | undefined>> = {}, context: Partial<FactContext> = {}): readonly Judgement[] {
  return judgeFacts(parseFacts(answers(changes)), { ...HOST, ...context })
}

describe('a host that answers', () => {
  it('as one in order does, is in order', () => {
    expect(judged().map(({ check, status }) => `${check} ${status}`)).toEqual(['shell ok', 'checksum_tool ok', 'disk ok', 'clock ok', 'sudo ok', 'sshd_limits ok'])
  })

  it.each<readonly [sentence: string, changes: Readonly<Record<string, string | undefined>>, verdict: string, message: RegExp]>([
    ['that it has no /proc', { proc: undefined }, 'shell warning', /process group/],
    ['in part', { end: undefined }, 'shell warning', /midst/],
    ['that it has no tool for SHA-256', { checksum: undefined }, 'checksum_tool warning', /read back/],
    ['that less than 10 % are free', { df_home: '/dev/sda1 41152736 38000000 3152736 93% /' }, 'disk warning', /3\.2 GB of 42 GB free \(7 %\)/],
    ['that less than 500 MB are free', { df_tmp: 'tmpfs 800000 400000 400000 50% /tmp' }, 'disk warning', /\/tmp 409 MB/],
    ['that less than 1 % is free', { df_home: '/dev/sda1 41152736 41000000 152736 100% /' }, 'disk failed', /\(0 %\)/],
    ['that less than 50 MB are free', { df_tmp: 'tmpfs 400000 360000 40000 90% /tmp' }, 'disk failed', /40 MB/],
    ['that more is used than there is', { df_home: '/dev/sda1 41152736 41152736 -500 101% /' }, 'disk failed', /0 MB of 42 GB/],
    ['that no more files can be made', { inodes_home: '/dev/sda1 2621440 2621440 0 100% /' }, 'disk failed', /no inodes/],
    ['with inodes behind the blocks', { inodes_home: '/dev/sda1 41152736 0 41152736 0% 100 0 100% /' }, 'disk failed', /no inodes/],
    ['that its file system counts no files', { inodes_home: '/dev/sda1 0 0 0 - /home' }, 'disk ok', /31 GB|32 GB/],
    ['that it cannot write in its home', { home_writable: undefined }, 'disk warning', /operator cannot write to \/home\/operator/],
    ['nothing of its disk', { df_home: undefined, df_tmp: 'df: no' }, 'disk skipped', /df says nothing/],
    ['with no time', { date: 'Thu' }, 'clock skipped', /does not tell/],
    ['that sudo wants a password', { sudo: '1' }, 'sudo ok', /only --sudo/],
    ['that there is no sudo', { sudo: 'none' }, 'sudo ok', /not installed/],
    ['that it is root', { uid: '0', sudo: 'none' }, 'sudo ok', /operator is root/],
    ['MaxSessions 1', { maxsessions: '1' }, 'sshd_limits warning', /connection of its own/],
    ['the configuration of another sshd', { server: '10.0.0.1 50000 10.0.0.10 2222' }, 'sshd_limits skipped', /port 22, and this sshd serves port 2222/],
    ['no limits, without sudo', { maxsessions: undefined, sudo: '1' }, 'sshd_limits skipped', /for root/],
    ['no limits, with sudo', { maxsessions: undefined }, 'sshd_limits skipped', /tells nothing/],
  ])('%s', (_, changes, verdict, message) => {
    const [check = ''] = verdict.split(' ')
    const found = judged(changes).find((each) => each.check === check)
    expect(`${found?.check ?? ''} ${found?.status ?? ''}`).toBe(verdict)
    expect(found?.message).toMatch(message)
    expect(found?.hint === null).toBe(['ok', 'skipped'].includes(found?.status ?? ''))
  })

  it('is warned of where more logins may begin at once than MaxStartups lets through', () => {
    const of = (maxstartups: string): string | undefined => judged({ maxstartups }, { loginsAtOnce: 8 }).find(({ check }) => check === 'sshd_limits')?.status
    expect([of('7:30:100'), of('8:30:100'), of('10'), of('4')]).toEqual(['warning', 'ok', 'ok', 'warning'])
  })

  it.each([
    [true, { sudo: '1' }, /visudo .*operator ALL=\(root\) NOPASSWD/],
    ['www', { sudo: '1' }, /ALL=\(www\)/],
    [true, { sudo: 'none' }, /Install sudo on vm01/],
  ] as const)('fails where the configuration has sudo: %s and the host refuses it', (sudo, changes, hint) => {
    const found = judged(changes, { host: { ...HOST.host, sudo } }).find(({ check }) => check === 'sudo')
    expect(found?.status).toBe('failed')
    expect(found?.hint).toMatch(hint)
  })
})

describe('a clock', () => {
  // The host says a whole second, between 0 and 400 ms after it was asked.
  const asked = { fromMs: NOW_MS, toMs: NOW_MS + 400 }
  it.each([
    ['is right', 0, 'ok'],
    ['is 5 s ahead, as far as can be told', 5, 'ok'],
    ['is 6 s ahead', 6, 'warning'],
    ['is 6 s behind, as far as can be told less than 5', -6, 'ok'],
    ['is 7 s behind', -7, 'warning'],
    ['is 299 s ahead', 299, 'warning'],
    ['is 301 s ahead', 301, 'failed'],
    ['is a year behind', -31_536_000, 'failed'],
  ] as const)('that %s', (_, offSeconds, status) => {
    expect(judgeClock(String(NOW_MS / 1000 + offSeconds), asked).status).toBe(status)
  })

  it('is given the benefit of a slow answer', () => {
    expect(judgeClock(String(NOW_MS / 1000 + 20), { fromMs: NOW_MS, toMs: NOW_MS + 30_000 }).status).toBe('ok')
  })

  it('says in which direction it is wrong', () => {
    expect(judgeClock(String(NOW_MS / 1000 + 60), asked).message).toBe('at least 59.6 s ahead of the clock of this machine')
    expect(judgeClock(String(NOW_MS / 1000 - 60), asked).message).toBe('at least 59.0 s behind the clock of this machine')
  })
})

describe('what is left of a file system', () => {
  it.each([
    ['nothing of nothing', { freeBytes: 0, totalBytes: 0, freeInodes: undefined }, 'failed', '0 MB of 0 MB free (0 %)'],
    ['a tenth', { freeBytes: 1e11, totalBytes: 1e12, freeInodes: 5 }, 'ok', '100 GB of 1000 GB free (10 %)'],
    ['a little less', { freeBytes: 0.9e11, totalBytes: 1e12, freeInodes: 5 }, 'warning', '90 GB of 1000 GB free (9 %)'],
  ] as const)('%s', (_, space, status, text) => {
    expect(judgeSpace(space)).toBe(status)
    expect(showSpace(space)).toBe(text)
  })
})

describe('the first words of a server', () => {
  it.each([
    ['SSH-2.0-OpenSSH_9.2\r\n', 'heard', 'ok'],
    ['welcome\r\nSSH-2.0-x\n', 'heard', 'ok'],
    ['SSH-1.99-old\r\n', 'heard', 'ok'],
    ['SSH-1.5-old\r\n', 'heard', 'failed'],
    ['Exceeded MaxStartups\r\n', 'closed', 'failed'],
    ['', 'closed', 'failed'],
    ['', 'silent', 'failed'],
  ] as const)('%j, then %s', (text, end, status) => {
    expect(judgeGreeting({ text, end }, { timeoutMs: 1000 }).status).toBe(status)
  })

  it('are never shown raw or whole, whatever they are', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 3000 }), fc.constantFrom('heard', 'closed', 'silent'), (text, end) => {
      const { message } = judgeGreeting({ text, end }, { timeoutMs: 1000 })
      expect(message).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/)
      expect(message.length).toBeLessThan(2000)
    }))
  })
})

describe('the answers of a host', () => {
  it('are found behind what start-up files print, which is remembered', () => {
    const facts = parseFacts(Buffer.concat([Buffer.from('\nwelcome\nto the machine\n'), answers()]))
    expect(facts.noise).toBe('welcome')
    expect(judgeFacts(facts, HOST)[0]).toMatchObject({ check: 'shell', status: 'warning' })
  })

  it('count where they come first, and only the first so many', () => {
    const { values } = parseFacts(Buffer.from(`remex-doctor uid 1000\nremex-doctor uid 0\n${'remex-doctor port 22\n'.repeat(100)}`))
    expect(values.get('uid')?.[0]).toBe('1000')
    expect(values.get('port')).toHaveLength(8)
  })

  const bytes = fc.uint8Array({ maxLength: 2000 }).map((array) => Buffer.from(array))
  const names = Object.keys(ANSWERS)
  const line = fc.tuple(fc.constantFrom(...names, 'other', ''), fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('9'.repeat(400), '-1', 'NaN', '1 2 3 4% /', '0 0 0 0% /'))).map(([name, value]) => Buffer.from(`remex-doctor ${name} ${value}\n`))

  it('are judged without a throw and shown without a control character, whatever they are', () => {
    fc.assert(fc.property(fc.array(fc.oneof(bytes, line), { maxLength: 40 }), fc.boolean(), (parts, sudo) => {
      const judgements = judgeFacts(parseFacts(Buffer.concat(parts)), { ...HOST, host: { ...HOST.host, sudo } })
      expect(judgements.map(({ check }) => check)).toEqual(['shell', 'checksum_tool', 'disk', 'clock', 'sudo', 'sshd_limits'])
      for (const { message, hint } of judgements) {
        expect(message + (hint ?? '')).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/)
        expect(message.length).toBeLessThan(4000)
      }
    }), { numRuns: 500 })
  })

  it('of any length are read no further than they can be', () => {
    const { values, noise } = parseFacts(Buffer.alloc(10_000_000, 'remex-doctor uid 1 '))
    expect([...values.keys()]).toEqual(['uid'])
    expect(values.get('uid')?.[0]?.length).toBeLessThanOrEqual(300)
    expect(noise).toBe('')
  })
})

describe('the question', () => {
  it('asks for the tools that a transfer uses', () => {
    expect(CHECKSUM_TOOLS.filter((tool) => !PICK_TOOL.includes(tool))).toEqual([])
    expect(PICK_TOOL).toContain(`for t in ${CHECKSUM_TOOLS.map((tool) => (tool.includes(' ') ? `'${tool}'` : tool)).join(' ')} ''`)
  })

  it('writes to nothing but its own output', () => {
    const targets = [...factsScript('root').matchAll(/>+\s*([^\s;)]+)/g)].map(([, target]) => target)
    expect(targets.filter((target) => target !== '/dev/null' && target !== '&1')).toEqual([])
  })
})
