import { execFileSync } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { remexError } from '../../src/core/errors.ts'
import type { DoctorOptions } from '../../src/enrol/doctor/doctor.ts'
import type { Finding } from '../../src/enrol/doctor/finding.ts'
import { inspectHost } from '../../src/enrol/doctor/inspection.ts'
import type { Remex } from '../../src/remex.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { startDropbearServer } from '../../testkit/dropbear-server.ts'
import { changedHostKey, closesBeforeBanner, closesDuringAuthentication, dropsAfterExecStarted, offersOnlyWeakAlgorithms, refusesConnection, rejectsAuthentication, revokedHostKey, sendsGarbageBanner, silentAfterAccept, type DistrustedServer } from '../../testkit/fault-servers.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'
import { fleetOf, type Members, type TestFleet } from '../interop/fleet-of.ts'

const sshd = await startOpensshServer()
const dropbear = await startDropbearServer()
let server: TestSshServer

beforeAll(async () => {
  server = await startSshServer()
})

afterAll(async () => {
  await server.close()
  if (!('skipped' in sshd)) await sshd.close()
  if (!('skipped' in dropbear)) await dropbear.close()
})

/** All that the doctor finds. */
async function examine(remex: Remex, targets?: string, options: DoctorOptions = {}): Promise<Finding[]> {
  const findings: Finding[] = []
  for await (const finding of remex.doctor(targets, options)) findings.push(finding)
  return findings
}

/** The finding of one check, about a host or about this machine. */
function one(findings: readonly Finding[], check: string, vmId?: string): Finding | undefined {
  return findings.find((each) => each.check === check && each.vmId === vmId)
}

/** `check status` of everything about a host. */
const statuses = (findings: readonly Finding[], vmId: string): string[] => findings.filter((each) => each.vmId === vmId).map(({ check, status }) => `${check} ${status}`)

/** How much room there is on the machine of the tests is not ours to say, nor what its ssh and sshd can do. */
const ROOM = /^(disk|audit) (ok|warning)$/
const SSH = /^ssh (ok|skipped)$/
const isOfThisMachine = (check: string): boolean => ['disk', 'audit', 'post_quantum'].includes(check)

/** What is looked at behind the banner. */
const SKIPPED = ['algorithms', 'post_quantum', 'host_key', 'authentication', 'shell', 'checksum_tool', 'disk', 'clock', 'sudo', 'sshd_limits']

/** All names under a folder. */
const names = async (folder: string): Promise<string[]> => (await readdir(folder, { recursive: true })).toSorted()

describe.skipIf('skipped' in sshd)('a host in order, behind OpenSSH', () => {
  const real = sshd as OpensshServer

  it('has a finding for every check, none of them failed, and hints only where something is to be done', async () => {
    await using fleet = await fleetOf({ vm01: real })
    const findings = await examine(fleet.remex)
    expect(statuses(findings, 'vm01')).toEqual(['dns skipped', 'tcp ok', 'banner ok', 'algorithms ok', expect.stringMatching(/^post_quantum (ok|warning)$/), 'host_key ok', 'authentication ok', 'shell ok', 'checksum_tool ok', expect.stringMatching(ROOM), 'clock ok', 'sudo ok', expect.stringMatching(/^sshd_limits (ok|skipped)$/)])
    expect(findings.filter(({ vmId }) => vmId === undefined).map(({ check, status }) => `${check} ${status}`)).toEqual(['node ok', 'configuration ok', expect.stringMatching(SSH), 'key_store ok', 'keys ok', 'certificates skipped', 'known_hosts ok', expect.stringMatching(ROOM), 'audit_chain ok'])
    expect(findings.filter(({ hint, check }) => hint !== null && !isOfThisMachine(check))).toEqual([])
    expect(one(findings, 'host_key', 'vm01')?.message).toContain(real.hostKeys[0]?.fingerprint)
    expect(one(findings, 'authentication', 'vm01')?.message).toBe(`logged in as ${real.login}; the server accepts publickey`)
  })

  it('is inspected in one operation of the audit log, and nothing else is written here', async () => {
    await using fleet = await fleetOf({ vm01: real })
    const before = await names(fleet.folder)
    await examine(fleet.remex)
    expect((await fleet.records()).map(({ event, operation, status }) => [event, operation, status])).toEqual([['begin', 'host_inspect', undefined], ['finish', 'host_inspect', 'success']])
    await fleet.remex.close()
    expect((await names(fleet.folder)).filter((name) => !before.includes(name))).toEqual(['audit', 'audit/audit.jsonl', 'audit/audit.reserve', 'audit/head.json', 'audit/signing.key', 'audit/signing.pub'])
  })

  it('is not warned of when it asks sudo for a password, but fails where the configuration has sudo', async () => {
    await using fleet = await fleetOf({ vm01: real })
    expect(one(await examine(fleet.remex), 'sudo', 'vm01')).toMatchObject({ status: 'ok', hint: null })
    const remex = await fleet.open({ vms: { vm01: { sudo: true } } })
    expect(one(await examine(remex), 'sudo', 'vm01')).toMatchObject({ status: 'failed', hint: expect.stringContaining('vm01') as string })
  })

  it('may accept passwords too, which is a warning with what to type', async () => {
    const started = await startOpensshServer({ config: ['PasswordAuthentication yes'] })
    if ('skipped' in started) return
    await using open = started
    await using fleet = await fleetOf({ vm01: open })
    expect(one(await examine(fleet.remex), 'authentication', 'vm01')).toMatchObject({ status: 'warning', message: expect.stringContaining('password') as string, hint: 'remex keys harden vm01' })
  })

  it('can be reached through another one, where name, port and banner are not ours to look at', async () => {
    await using fleet = await fleetOf({ vm01: server, vm02: real }, { vms: { vm01: { jump: 'vm02' } } })
    const findings = await examine(fleet.remex, 'vm01')
    expect(statuses(findings, 'vm01').slice(0, 8)).toEqual(['dns skipped', 'tcp skipped', 'banner skipped', 'algorithms ok', 'post_quantum warning', 'host_key ok', 'authentication ok', 'shell ok'])
    expect(one(findings, 'banner', 'vm01')?.message).toBe('reached through vm02')
  })

  it.runIf(process.getuid?.() === 0)('may have a login that runs no commands', async () => {
    const user = await real.testUser('/usr/sbin/nologin')
    await using fleet = await fleetOf({ vm01: { server: real, login: user?.name ?? '' } })
    const findings = await examine(fleet.remex)
    expect(one(findings, 'shell', 'vm01')).toMatchObject({ status: 'failed', message: expect.stringContaining('runs no commands: exit status 1') as string })
    expect(statuses(findings, 'vm01').slice(8)).toEqual(SKIPPED.slice(5).map((check) => `${check} skipped`))
  })

  it.runIf(process.getuid?.() === 0 && findProgram('bash') !== undefined)('may have start-up files that print into everything', async () => {
    const user = await real.testUser(findProgram('bash') ?? '')
    if (!user) return
    await writeFile(join(user.home, '.bashrc'), 'echo welcome back\n')
    await chown(join(user.home, '.bashrc'), user.uid, user.gid)
    await using fleet = await fleetOf({ vm01: { server: real, login: user.name } })
    expect(one(await examine(fleet.remex), 'shell', 'vm01')).toMatchObject({ status: 'warning', message: expect.stringContaining('print "welcome back"') as string })
  })
})

describe.skipIf('skipped' in dropbear)('a host in order, behind Dropbear', () => {
  it('is looked at like any other, but for limits that it does not tell', async () => {
    if ('skipped' in dropbear) return
    await using fleet = await fleetOf({ vm01: dropbear })
    const findings = await examine(fleet.remex)
    expect(findings.filter(({ status, check }) => (status === 'failed' || status === 'warning') && !isOfThisMachine(check))).toEqual([])
    expect(one(findings, 'sshd_limits', 'vm01')).toMatchObject({ status: 'skipped', message: expect.stringContaining('dropbear') as string })
  })
})

describe.skipIf(!findProgram('busybox'))('a host with BusyBox alone', () => {
  it('tells its disk, its clock and its tool as well', async () => {
    const tools = await mkdtemp(join(tmpdir(), 'remex-tools-'))
    execFileSync(findProgram('busybox') ?? '', ['--install', '-s', tools])
    await using small = await startSshServer({ env: { PATH: tools } })
    await using fleet = await fleetOf({ vm01: small })
    const findings = await examine(fleet.remex)
    expect(['shell', 'checksum_tool', 'clock'].map((check) => one(findings, check, 'vm01')?.status)).toEqual(['ok', 'ok', 'ok'])
    expect(one(findings, 'disk', 'vm01')?.message).toMatch(/^\/\S+ \d.* free \(\d+ %\)/)
    expect(one(findings, 'checksum_tool', 'vm01')?.message).toBe('sha256sum')
    await rm(tools, { recursive: true })
  })
})

type Member = Members[string]
type Fault = readonly [sentence: string, check: string, message: RegExp, hint: RegExp, make: () => Promise<{ readonly fleet: TestFleet; readonly close: () => Promise<void> }>]

/** A fleet of one host behind this server. */
async function behind<S extends Member & { close(): Promise<void> }>(starting: Promise<S>, member: (server: S) => Member = (server) => server, settings: Record<string, unknown> = {}): ReturnType<Fault[4]> {
  const started = await starting
  return { fleet: await fleetOf({ vm01: member(started) }, { settings }), close: () => started.close() }
}

/** A server of which known_hosts says something else than it shows. */
const distrusted = (started: DistrustedServer): Member => ({ server: started, knownHosts: started.staleKnownHosts })

const FAULTS: readonly Fault[] = [
  ['a port on which nobody listens', 'tcp', /connection refused/, /nc -vz 127\.0\.0\.1/, () => behind(refusesConnection())],
  ['a server that says nothing', 'banner', /no banner within 1s/, /ssh_port/, () => behind(silentAfterAccept(), (silent) => silent, { connect_timeout: '1s' })],
  ['a server that closes before its banner', 'banner', /^throttled: /, /MaxStartups/, () => behind(closesBeforeBanner())],
  ['what is no SSH server', 'banner', /not an SSH server; it says: HTTP\/1\.0 400/, /ssh_port/, () => behind(sendsGarbageBanner('HTTP/1.0 400 Bad Request\r\n\r\n'))],
  ['a server of the first protocol', 'banner', /no SSH 2\.0: SSH-1\.5-old/, /ssh_port/, () => behind(sendsGarbageBanner('SSH-1.5-old\r\n'))],
  ['a server with weak algorithms alone', 'algorithms', /no common/, /Enable one of these/, () => behind(offersOnlyWeakAlgorithms())],
  ['a host whose key is not known', 'host_key', /no key is known for it/, /remex hosts trust vm01 --fingerprint SHA256:/, () => behind(startSshServer(), (started) => ({ server: started, knownHosts: '' }))],
  ['a host whose key has changed', 'host_key', /but known is/, /remex hosts forget vm01/, () => behind(changedHostKey(), distrusted)],
  ['a host whose key was revoked', 'host_key', /@revoked/, /needs a new key/, () => behind(revokedHostKey(), distrusted)],
  ['a host that breaks the connection when it is asked', 'shell', /broke/, /look before you repeat/, () => behind(dropsAfterExecStarted())],
  ['a host that refuses the login', 'authentication', /was refused/, /\nremex keys setup vm01$/, () => behind(rejectsAuthentication())],
]

describe('what comes behind the first failure is skipped:', () => {
  it.each(FAULTS)('%s', async (_, check, message, hint, make) => {
    const { fleet, close } = await make()
    try {
      const findings = await examine(fleet.remex)
      const own = findings.filter(({ vmId }) => vmId === 'vm01')
      expect(own.filter(({ status }) => status === 'failed')).toEqual([expect.objectContaining({ check, message: expect.stringMatching(message) as string, hint: expect.stringMatching(hint) as string })])
      const after = own.slice(own.findIndex((each) => each.check === check) + 1)
      expect(after.filter(({ status }) => status !== 'skipped')).toEqual([])
      expect(own.map((each) => each.check)).toEqual(['dns', 'tcp', 'banner', ...SKIPPED])
    } finally {
      await fleet[Symbol.asyncDispose]()
      await close()
    }
  })

  it('a connection that breaks at the login is a failure of its own, ahead of what it kept from being seen', async () => {
    await using closing = await closesDuringAuthentication()
    await using fleet = await fleetOf({ vm01: closing })
    expect(statuses(await examine(fleet.remex), 'vm01')).toEqual(['dns skipped', 'tcp ok', 'banner ok', 'connection failed', ...SKIPPED.map((check) => `${check} skipped`)])
  })

  it.each([
    ['the audit log', 'AUDIT_UNAVAILABLE', 'audit failed'],
    ['the policy', 'POLICY_DENIED', 'policy warning'],
    ['a mistake of ours', 'INTERNAL', 'connection failed'],
  ] as const)('what %s keeps from beginning is told once', async (_, code, verdict) => {
    await using fleet = await fleetOf({ vm01: server })
    const host = fleet.remex.config.hosts.get('vm01')
    const dispatcher = { step: () => Promise.reject(remexError(code, 'it is so')) }
    const found = host && (await inspectHost({ dispatcher, clock: systemClock, signal: undefined, loginsAtOnce: 1 }, host))
    expect(found?.map(({ check, status }) => `${check} ${status}`)).toEqual([verdict, ...SKIPPED.map((check) => `${check} skipped`)])
    expect(found?.[0]?.message).toBe('it is so')
  })

  it('a name that is not there', async () => {
    await using fleet = await fleetOf({ vm01: server }, { vms: { vm01: { ip: 'no-such-host.invalid' } }, settings: { connect_timeout: '10s' } })
    const findings = await examine(fleet.remex)
    expect(one(findings, 'dns', 'vm01')).toMatchObject({ status: 'failed', message: expect.stringContaining('no-such-host.invalid') as string })
    expect(statuses(findings, 'vm01')).toEqual(['dns failed', ...['tcp', 'banner', ...SKIPPED].map((check) => `${check} skipped`)])
  })
})

describe('a host without a key', () => {
  it('is asked all the same whether it is the right one, and what it accepts', async () => {
    await using fleet = await fleetOf({ vm01: server })
    await rm(join(fleet.folder, 'keys', 'id_ed25519_vm01'))
    const logins = server.execs.length
    const findings = await examine(fleet.remex)
    expect(one(findings, 'keys')).toMatchObject({ status: 'failed', hint: 'remex keys setup vm01' })
    expect(statuses(findings, 'vm01').slice(1, 8)).toEqual(['tcp ok', 'banner ok', 'algorithms ok', 'post_quantum skipped', 'host_key ok', 'authentication failed', 'shell skipped'])
    expect(one(findings, 'authentication', 'vm01')).toMatchObject({ message: expect.stringContaining('the server accepts: publickey') as string, hint: 'remex keys setup vm01' })
    expect(server.execs.length).toBe(logins)
  })

  it('and without a known host key, as every new host is, is told of both', async () => {
    await using fleet = await fleetOf({ vm01: { server, knownHosts: '' } })
    await rm(join(fleet.folder, 'keys', 'id_ed25519_vm01'))
    const findings = await examine(fleet.remex)
    expect(findings.filter(({ status }) => status === 'failed').map(({ vmId, check }) => [vmId, check])).toEqual([[undefined, 'keys'], [undefined, 'known_hosts'], ['vm01', 'host_key'], ['vm01', 'authentication']])
  })
})

describe('this machine', () => {
  /** What the doctor says of the machine after something was done to the fleet's folder. */
  async function after(change: (fleet: TestFleet) => Promise<unknown>, settings: Record<string, unknown> = {}): Promise<Finding[]> {
    await using fleet = await fleetOf({ vm01: server }, { settings })
    await change(fleet)
    return await examine(fleet.remex)
  }

  it.each<readonly [sentence: string, check: string, status: string, message: RegExp, hint: RegExp, change: (fleet: TestFleet) => Promise<unknown>]>([
    ['a key that others can read', 'keys', 'failed', /mode 0644/, /^chmod 600 /, ({ folder }) => chmod(join(folder, 'keys', 'id_ed25519_vm01'), 0o644)],
    ['a key that is none', 'keys', 'failed', /id_ed25519_vm01/, /./, ({ folder }) => writeFile(join(folder, 'keys', 'id_ed25519_vm01'), 'nothing')],
    ['a key that is old', 'keys', 'warning', /is \d{3} days old, and key_rotation_days is 90/, /^remex keys rotate vm01$/, ({ folder }) => utimes(join(folder, 'keys', 'id_ed25519_vm01'), new Date(), new Date(Date.now() - 200 * 86_400_000))],
    ['a key on the very day on which it is due', 'keys', 'warning', /is 90 days old, and key_rotation_days is 90/, /^remex keys rotate vm01$/, ({ folder }) => utimes(join(folder, 'keys', 'id_ed25519_vm01'), new Date(), new Date(Date.now() - 90 * 86_400_000 - 1000))],
    ['a key store that others can read', 'key_store', 'warning', /mode 0755/, /^chmod 700 /, ({ folder }) => chmod(join(folder, 'keys'), 0o755)],
    ['a key store that others can write', 'key_store', 'failed', /mode 0777/, /^chmod 700 /, ({ folder }) => chmod(join(folder, 'keys'), 0o777)],
    ['a key store that is not there', 'key_store', 'failed', /is not there/, /^install -d -m 700 /, ({ folder }) => rm(join(folder, 'keys'), { recursive: true })],
    ['known_hosts with a line that means nothing', 'known_hosts', 'warning', /the first is line 2/, /^Mend it .*sed -n 2p /, ({ folder }) => writeFile(join(folder, 'known_hosts'), `${server.knownHosts}what is this\n`)],
    ['known_hosts that is a directory', 'known_hosts', 'failed', /cannot be read/, /known_hosts_path/, async ({ folder }) => {
      await rm(join(folder, 'known_hosts'))
      await mkdir(join(folder, 'known_hosts'))
    }],
    ['known_hosts that everyone can write', 'known_hosts', 'failed', /written by everyone/, /^chmod go-w /, ({ folder }) => chmod(join(folder, 'known_hosts'), 0o666)],
    ['a host that known_hosts does not have', 'known_hosts', 'failed', /no key is known for vm01/, /^remex hosts trust vm01$/, ({ folder }) => writeFile(join(folder, 'known_hosts'), '')],
    ['an audit log that was changed', 'audit_chain', 'failed', /not a record/, /remex audit verify$/, async ({ folder }) => {
      await mkdir(join(folder, 'audit'), { mode: 0o700 })
      await writeFile(join(folder, 'audit', 'audit.jsonl'), 'nothing\n')
    }],
    ['something in the place of the audit log’s lock', 'audit', 'failed', /not a lock that Remex made/, /ls -l /, async ({ folder }) => {
      await mkdir(join(folder, 'audit'), { mode: 0o700 })
      await writeFile(join(folder, 'audit', 'audit.lock'), '')
    }],
    ['a key of the audit log that is gone', 'audit', 'failed', /signing\.key is gone/, /^Put it back/, ({ remex, folder }) => remex.anchor().then(() => rm(join(folder, 'audit', 'signing.key')))],
    ['a key of the audit log that others can read', 'audit', 'failed', /others than its owner may read/, /^chmod 600 /, ({ remex, folder }) => remex.anchor().then(() => chmod(join(folder, 'audit', 'signing.key'), 0o644))],
    ['an audit log that was mended', 'audit_chain', 'warning', /record 2 says/, /^remex audit show 2$/, async ({ remex, open, folder }) => {
      await remex.anchor()
      await writeFile(join(folder, 'audit', 'head.json'), '')
      await (await open()).anchor()
    }],
  ])('is told of %s', async (_, check, status, message, hint, change) => {
    expect((await after(change)).filter((each) => each.vmId === undefined && each.check === check)).toEqual([
      expect.objectContaining({ status, message: expect.stringMatching(message) as string, hint: expect.stringMatching(hint) as string }),
    ])
  })

  it('makes no audit directory that cannot be written, and then asks nothing of the hosts behind their banner', async () => {
    await using fleet = await fleetOf({ vm01: server })
    await writeFile(join(fleet.folder, 'file'), '')
    const remex = await fleet.open({ settings: { audit_log_path: join(fleet.folder, 'file', 'audit') } })
    const before = [await names(fleet.folder), server.execs.length, server.logins]
    const findings = await examine(remex)
    expect(one(findings, 'audit')).toMatchObject({ status: 'failed', hint: expect.stringContaining('audit_log_path') as string })
    expect(statuses(findings, 'vm01')).toEqual(['dns skipped', 'tcp ok', 'banner ok', ...SKIPPED.map((check) => `${check} skipped`)])
    expect(one(findings, 'algorithms', 'vm01')?.message).toContain('cannot be recorded')
    expect([await names(fleet.folder), server.execs.length, server.logins]).toEqual(before)
  })

  it('never shows what is in a key', async () => {
    const { privateKey } = makeKeyPair('ed25519', { passphrase: 'unknown', comment: 'a-comment' })
    const findings = await after(({ folder }) => writeFile(join(folder, 'keys', 'id_ed25519_vm01'), privateKey))
    expect(JSON.stringify(findings)).not.toContain(privateKey.split('\n')[1])
    expect(one(findings, 'authentication', 'vm01')).toMatchObject({ status: 'failed', message: expect.stringContaining('passphrase') as string })
  })
})

describe('the doctor', () => {
  it('leaves hosts alone where the policy does not allow to inspect them: a warning, and no failure', async () => {
    await using fleet = await fleetOf({ vm01: server }, { policy: { rules: [{ effect: 'allow', operations: ['run'] }] } })
    const before = server.logins
    const findings = await examine(fleet.remex)
    expect(findings.filter(({ status }) => status === 'failed')).toEqual([])
    expect(one(findings, 'policy', 'vm01')).toMatchObject({ status: 'warning', message: expect.stringContaining('host_inspect') as string })
    expect(server.logins).toBe(before)
    expect((await fleet.records()).map(({ event, operation }) => [event, operation])).toEqual([['denied', 'host_inspect']])
  })

  it('looks at the hosts that are asked for, and says of those of a group that may not be used why', async () => {
    await using fleet = await fleetOf({ vm01: server, vm02: server }, { vms: { vm02: { enabled: false } } })
    const findings = await examine(fleet.remex)
    expect(findings.filter(({ vmId }) => vmId === 'vm02')).toEqual([{ vmId: 'vm02', check: 'configuration', status: 'skipped', message: 'vm02 is disabled in the configuration', hint: null }])
    await expect(examine(fleet.remex, 'vm02')).rejects.toMatchObject({ code: 'HOST_NOT_ALLOWED' })
    await expect(examine(fleet.remex, 'vm09')).rejects.toMatchObject({ code: 'HOST_UNKNOWN' })
  })

  it('has this machine to speak of where no host can be used', async () => {
    await using fleet = await fleetOf({ vm01: server }, { vms: { vm01: { enabled: false } } })
    const findings = await examine(fleet.remex)
    expect(findings.every(({ vmId }) => vmId === undefined)).toBe(true)
    expect(one(findings, 'configuration')).toMatchObject({ status: 'warning', hint: expect.stringContaining('vms:') as string })
  })

  it('knocks once at a server that several hosts share', async () => {
    await using shared = await startSshServer()
    await using fleet = await fleetOf({ vm01: shared, vm02: shared, vm03: shared })
    await examine(fleet.remex)
    // One knock, and for each host a login and a question for what is accepted.
    expect(shared.connections).toBe(1 + 3 * 2)
  })

  it('gives a host that works its findings while another is silent', async () => {
    await using silent = await silentAfterAccept()
    await using fleet = await fleetOf({ vm01: silent, vm02: server }, { settings: { connect_timeout: '3s' } })
    const hosts = (await examine(fleet.remex)).flatMap(({ vmId }) => (vmId === undefined ? [] : [vmId]))
    expect([...new Set(hosts)]).toEqual(['vm02', 'vm01'])
  })

  it('can be cancelled', async () => {
    await using silent = await silentAfterAccept()
    await using fleet = await fleetOf({ vm01: silent })
    const stop = new AbortController()
    const ending = examine(fleet.remex, 'vm01', { signal: stop.signal }).catch((error: unknown) => error)
    await until(() => silent.connections > 0, { what: 'the knock' })
    stop.abort()
    expect(await ending).toMatchObject({ code: 'CANCELLED' })
  })

  it.each([0, 1.5, Number.NaN])('refuses %s hosts at a time', async (parallel) => {
    await using fleet = await fleetOf({ vm01: server })
    await expect(examine(fleet.remex, 'vm01', { parallel })).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('a host that lies', () => {
  /** What the doctor says of a host that prints this in place of every answer. */
  async function told(forceCommand: string): Promise<Finding[]> {
    await using liar = await startSshServer({ forceCommand })
    await using fleet = await fleetOf({ vm01: liar })
    return (await examine(fleet.remex)).filter(({ vmId }) => vmId === 'vm01')
  }

  it('moves no cursor: control characters are shown, not sent', async () => {
    const findings = await told(String.raw`printf 'remex-doctor uname \033[2J\033]0;x\007\nremex-doctor proc yes\nremex-doctor end yes\n'`)
    expect(one(findings, 'shell', 'vm01')?.message).toContain(String.raw`\x1b[2J`)
    expect(findings.filter(({ message, hint }) => /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(message + (hint ?? '')))).toEqual([])
  })

  it('fills no screen and no memory', async () => {
    const findings = await told("head -c 20000000 /dev/zero | tr '\\0' x")
    expect(one(findings, 'shell', 'vm01')?.status).toBe('failed')
    expect(findings.filter(({ message }) => message.length > 1000)).toEqual([])
  })
})
