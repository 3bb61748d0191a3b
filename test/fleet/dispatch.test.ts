import { readdir, readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AuditRecord } from '../../src/audit/record.ts'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { Secret } from '../../src/core/secret.ts'
import type { RunOptions } from '../../src/fleet/requests.ts'
import * as faults from '../../testkit/fault-servers.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type TestFleet } from '../interop/fleet-of.ts'

let server: TestSshServer
beforeAll(async () => {
  server = await startSshServer()
})
afterAll(() => server.close())

const eventsOf = (records: readonly AuditRecord[]): string[] => records.map(({ event, operation, error_code: code }) => [event, operation, code ?? '-'].join(' '))

describe('the audit log', () => {
  it('has the begin on disk before anything is sent, and the finish after', async () => {
    await using own = await startSshServer()
    await using fleet = await fleetOf({ vm01: own })
    let during: AuditRecord[] = []
    const onOutput = async (): Promise<void> => void (during = await fleet.records())
    await fleet.remex.host('vm01').run('echo up', { onOutput })
    expect(during.map(({ event }) => event)).toEqual(['begin'])
    expect(eventsOf(await fleet.records())).toEqual(['begin run -', 'finish run -'])
  })

  it('says whom sudo runs it as, also where the configuration has it so', async () => {
    await using fleet = await fleetOf({ vm01: server }, { vms: { vm01: { sudo: 'www' } } })
    // Whether sudo lets it start is not what is asked.
    for (const options of [{}, { sudo: true }, { sudo: false }]) await fleet.remex.host('vm01').run('true', options).catch(() => undefined)
    const begun = (await fleet.records()).filter(({ event }) => event === 'begin')
    expect(begun.map(({ sudo_user: user }) => user)).toEqual(['www', 'root', undefined])
  })

  it('that cannot be written stops everything: no connection is made', async () => {
    await using own = await startSshServer()
    await using fleet = await fleetOf({ vm01: own })
    const local = join(fleet.folder, 'file')
    await writeFile(local, 'x')
    // A file where a directory should be: root cannot write there either.
    const remex = await fleet.open({ settings: { audit_log_path: join(local, 'audit') } })
    const host = remex.host('vm01')
    for (const work of [host.run('true'), host.script(local), host.put(local, 'x'), host.get('x', local), remex.check('vm01')]) {
      expect(await failureOf(work)).toMatchObject({ code: 'AUDIT_UNAVAILABLE', mayHaveRun: false, message: expect.stringContaining(local) as string })
    }
    expect(own.connections).toBe(0)
  })

  it('says all of a run that the documentation promises, and each finish can be read alone', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const result = await fleet.remex.host('vm01').run('echo out; echo error >&2; exit 3', { env: { A: '1', B: new Secret('two') }, cwd: '/' })
    const [begin, finish] = await fleet.records()
    const asked = {
      seq: 1, event: 'begin', run_id: result.runId, user_id: 'tester', os_user: userInfo().username, pid: process.pid, vm_id: 'vm01', address: '127.0.0.1', login: 'tester',
      operation: 'run', command: 'echo out; echo error >&2; exit 3', env_names: ['A', 'B'],
    }
    expect(begin).toMatchObject({ ...asked, prev: '0'.repeat(64), hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string, time: expect.stringMatching(/^\d{4}-.*Z$/) as string })
    expect(finish).toMatchObject({
      ...asked, seq: 2, event: 'finish', op_id: begin?.op_id, prev: begin?.hash, status: 'error', ended: 'exited', exit_code: 3, error_code: null, execution_time: result.executionTime,
      attempts: 1, engine: 'ssh2', kex: expect.stringMatching(/./) as string, cipher: expect.stringMatching(/./) as string, host_key: server.hostKeys[0]?.fingerprint, stdout_bytes: 4, stderr_bytes: 6, killed: null,
    })
  })

  it('says of a deadline what was ended', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const result = await fleet.remex.host('vm01').run('sleep 29; :', { timeout: '300ms' })
    expect((await fleet.records()).at(-1)).toMatchObject({ status: 'error', ended: 'timed_out', exit_code: null, error_code: 'TIMED_OUT', killed: result.killed })
  })

  it('says of a transfer what came, with its checksum, and of a script what was sent', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const host = fleet.remex.host('vm01')
    const local = join(fleet.folder, 's.sh')
    await writeFile(local, '#!/bin/sh\necho "$1"\n')
    const sent = await host.put(local, 'sent.sh')
    await host.get('sent.sh', join(fleet.folder, 'back'))
    await host.script(local, { args: ['a b'] })
    const finished = (await fleet.records()).filter(({ event }) => event === 'finish')
    expect(finished).toMatchObject([
      { operation: 'upload', local, remote: 'sent.sh', size_bytes: sent.sizeBytes, sha256: sent.sha256, status: 'success', host_key: sent.hostKey },
      { operation: 'download', remote: 'sent.sh', sha256: sent.sha256, status: 'success' },
      { operation: 'script', command: `${local} 'a b'`, status: 'success', exit_code: 0 },
    ])
    expect(await fleet.records()).toHaveLength(6)
  })

  it('has a pair for every way to fail, and is right as a whole', async () => {
    await using refused = await faults.refusesConnection()
    await using dropping = await faults.dropsAfterExecStarted()
    await using fleet = await fleetOf({ vm01: server, vm02: refused, vm03: dropping, vm04: { server, knownHosts: '' } }, { vms: { vm04: { host_key: `SHA256:${'A'.repeat(43)}` } } })
    const [good, away, drops, other] = ['vm01', 'vm02', 'vm03', 'vm04'].map((id) => fleet.remex.host(id))
    const nowhere = join(fleet.folder, 'nowhere')
    const failing: readonly [string, () => Promise<unknown> | undefined][] = [
      ['UNREACHABLE', () => away?.run('true')],
      ['CONNECTION_LOST', () => drops?.run('true')],
      ['HOST_KEY_CHANGED', () => other?.run('true')],
      ['LOCAL_NOT_FOUND', () => good?.put(nowhere, 'x')],
      ['REMOTE_NOT_FOUND', () => good?.get('nowhere', join(fleet.folder, 'x'))],
      ['LOCAL_NOT_FOUND', () => good?.script(nowhere)],
      ['UNREACHABLE', () => away?.script(nowhere)],
      ['UNREACHABLE', () => fleet.remex.check('vm02')],
    ]
    for (const [code, work] of failing) expect((await failureOf(Promise.resolve(work()))).code).toBe(code)
    const thrown = good?.run('echo x', { onOutput: () => { throw new Error('the listener broke') } })
    await expect(thrown).rejects.toThrow('the listener broke')
    const records = await fleet.records()
    expect(records.filter(({ event }) => event === 'begin')).toHaveLength(failing.length + 1)
    for (const { op_id: id } of records) expect(records.filter((record) => record.op_id === id).map(({ event }) => event)).toEqual(['begin', 'finish'])
    expect(records.filter(({ event }) => event === 'finish').map((record) => record.error_code)).toEqual([...failing.map(([code]) => code), 'INTERNAL'])
    expect(await verifyAudit(fleet.auditPath)).toMatchObject({ ok: true, count: records.length })
  })

  it('never holds a secret: not one byte of the state directory does', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const value = "s3cr3t-Xy'z-0123"
    const host = fleet.remex.host('vm01')
    await host.run(`echo "${value}"; test -n "$TOKEN"`, { env: { TOKEN: new Secret(value) }, stdin: value })
    await host.run(['echo', value], { env: { TOKEN: new Secret(value) } })
    await failureOf(host.run('true', { env: { TOKEN: new Secret(value) }, sudo: 'no user;' }))
    await failureOf(host.script(join(fleet.folder, 'none'), { args: [value], env: { TOKEN: new Secret(value) } }))
    // A log that is open may have files of a moment.
    await fleet.remex.close()
    const files = await readdir(fleet.auditPath)
    expect(files).toContain('audit.jsonl')
    for (const name of files) expect(await readFile(join(fleet.auditPath, name), 'latin1')).not.toMatch(/s3cr3t|z-0123/)
    expect((await fleet.records()).map(({ command }) => command)).toContain('echo "[secret]"; test -n "$TOKEN"')
  })

  it('does not show what secret_patterns match', async () => {
    await using fleet = await fleetOf({ vm01: server }, { settings: { secret_patterns: ['--token (\\S+)'] } })
    await fleet.remex.host('vm01').run('true --token hunter2')
    expect((await fleet.records()).map(({ command }) => command)).toEqual(['true --token [secret]', 'true --token [secret]'])
  })

  it('cannot be forged by what is asked or by who asks', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const forged = 'true #\n{"seq":9,"event":"finish","status":"success"}\r\n\u2028'
    await fleet.remex.host('vm01').run(forged)
    const lines = (await readFile(join(fleet.auditPath, 'audit.jsonl'), 'utf8')).split('\n').filter(Boolean)
    expect(lines).toHaveLength(2)
    expect((await fleet.records())[0]?.command).toBe(forged)
    expect(await verifyAudit(fleet.auditPath)).toMatchObject({ ok: true, count: 2 })
  })
})

describe('what is refused', () => {
  it('by the policy is in the log, and nothing is sent', async () => {
    await using own = await startSshServer()
    const rules = [{ effect: 'allow', speaks_for: ['tester'], operations: ['run'], commands: [['uptime']] }]
    await using fleet = await fleetOf({ vm01: own }, { policy: { rules } })
    const host = fleet.remex.host('vm01')
    expect(await failureOf(host.run('uptime'))).toMatchObject({ code: 'POLICY_DENIED', mayHaveRun: false, result: { ended: 'not_started', attempts: 0 } })
    expect((await failureOf(host.run(['reboot']))).message).toMatch(/run on vm01/)
    expect(await failureOf(host.put('/etc/hostname', 'x'))).toMatchObject({ code: 'POLICY_DENIED' })
    expect(own.connections).toBe(0)
    expect(await host.run(['uptime'])).toMatchObject({ ended: 'exited' })
    const records = await fleet.records()
    expect(eventsOf(records)).toEqual(['denied run POLICY_DENIED', 'denied run POLICY_DENIED', 'denied upload POLICY_DENIED', 'begin run -', 'finish run -'])
    expect(records[1]).toMatchObject({ user_id: 'tester', vm_id: 'vm01', command: 'reboot', status: 'error', reason: expect.stringMatching(/no rule/) as string })
  })

  it.each<[string, Record<string, unknown>, Record<string, unknown>, string, RegExp]>([
    ['a host that is disabled', { enabled: false }, {}, 'HOST_NOT_ALLOWED', /vm01.*disabled/],
    ['a disabled host that allowed_vm_ids names', { enabled: false }, { allowed_vm_ids: ['vm01'] }, 'HOST_NOT_ALLOWED', /vm01.*disabled/],
    ['a host that is not in allowed_vm_ids', {}, { allowed_vm_ids: ['vm02'] }, 'HOST_NOT_ALLOWED', /vm01.*allowed_vm_ids/],
  ])('because of %s is in the log with what was asked, and nothing is sent', async (_what, vm, settings, code, message) => {
    await using own = await startSshServer()
    await using fleet = await fleetOf({ vm01: own, vm02: own }, { vms: { vm01: vm }, settings })
    for (const work of [() => fleet.remex.host('vm01').run('id'), () => fleet.remex.host('vm01').get('a', 'b'), () => fleet.remex.check('vm01')]) {
      expect(await failureOf(work())).toMatchObject({ code, message: expect.stringMatching(message) as string })
    }
    expect(own.connections).toBe(0)
    expect(await fleet.records()).toMatchObject([
      { event: 'denied', operation: 'run', vm_id: 'vm01', user_id: 'tester', command: 'id', error_code: code },
      { event: 'denied', operation: 'download', remote: 'a' },
      { event: 'denied', operation: 'host_check' },
    ])
  })

  it('because there is no such host is in the log, with the name that was meant', async () => {
    await using fleet = await fleetOf({ vm01: server })
    expect(await failureOf(fleet.remex.host('vm10').run('id'))).toMatchObject({ code: 'HOST_UNKNOWN', hint: expect.stringContaining('vm01') as string })
    expect(await fleet.records()).toMatchObject([{ event: 'denied', vm_id: 'vm10', error_code: 'HOST_UNKNOWN' }])
  })

  it('because the server has no post-quantum key exchange names the setting that asks for one', async () => {
    await using fleet = await fleetOf({ vm01: server }, { settings: { require_post_quantum: true } })
    const message = expect.stringMatching(/vm01.*require_post_quantum/) as string
    expect(await failureOf(fleet.remex.host('vm01').run('true'))).toMatchObject({ code: 'HANDSHAKE_FAILED', mayHaveRun: false, message })
  })
})

describe('the engine', () => {
  it.each<[string, Record<string, unknown>, Record<string, unknown>, string, string]>([
    ['auto', {}, {}, 'ssh2', 'auto'],
    ['what the host says', { engine: 'openssh' }, {}, 'openssh', 'engine: openssh'],
    ['what the settings say', {}, { engine: 'openssh' }, 'openssh', 'engine: openssh'],
    ['what the host says, whatever the settings say', { engine: 'ssh2' }, { engine: 'openssh' }, 'ssh2', 'engine: ssh2'],
  ])('is %s, and is told with its reason', async (_what, vm, settings, engine, engineReason) => {
    await using fleet = await fleetOf({ vm01: server }, { vms: { vm01: vm }, settings })
    expect(await fleet.remex.check('vm01')).toMatchObject({ engine, engineReason })
    expect(await fleet.remex.host('vm01').run('true')).toMatchObject({ engine, success: true })
    expect((await fleet.records()).at(-1)).toMatchObject({ engine })
  })
})

describe('a call that is wrong', () => {
  const CASES: readonly (readonly [string, RunOptions | Record<string, unknown>, RegExp])[] = [
    ['a timeout that is no duration', { timeout: 'soon' }, /timeout.*soon/],
    ['a negative timeout', { timeout: -1 }, /timeout.*-1/],
    ['a timeout that is not a number', { timeout: Number.NaN }, /timeout/],
    ['no attempt at all', { retries: 0 }, /retries: 0/],
    ['half an attempt', { retries: 1.5 }, /retries: 1.5/],
    ['a negative capture limit', { maxOutputBytes: -1 }, /maxOutputBytes: -1/],
    ['a variable that no shell can have', { env: { 'A-B': '1' } }, /"A-B"/],
    ['a value with a NUL', { env: { A: 'x\0y' } }, /value of A/],
    ['a user of sudo that is an option', { sudo: '-u root' }, /-u root/],
    ['an empty directory', { cwd: '' }, /working directory/],
    ['a directory with a NUL', { cwd: '/\0' }, /NUL/],
  ]

  it.each(CASES)('is told so for %s, and nothing is sent', async (_what, options, message) => {
    await using own = await startSshServer()
    await using fleet = await fleetOf({ vm01: own })
    const error = await failureOf(fleet.remex.host('vm01').run('true', options))
    expect(error).toMatchObject({ code: 'USAGE', message: expect.stringMatching(message) as string, mayHaveRun: false })
    expect(own.execs).toEqual([])
    const group = (async () => { for await (const result of fleet.remex.hosts('all').run('true', options as object)) return result })()
    expect(await failureOf(group)).toMatchObject({ code: 'USAGE' })
  })

  it.each(['', '  ', '\n'])('is told so for the empty command %j', async (command) => {
    await using fleet = await fleetOf({ vm01: server })
    expect(await failureOf(fleet.remex.host('vm01').run(command))).toMatchObject({ code: 'USAGE' })
    expect(await failureOf(fleet.remex.host('vm01').run([]))).toMatchObject({ code: 'USAGE' })
    expect(await fleet.records()).toEqual([])
  })

  it('is told so for a mode, a path and a number of hosts that there cannot be', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const host = fleet.remex.host('vm01')
    expect(await failureOf(host.put('/etc/hostname', 'x', { mode: 0o10000 }))).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/mode/) as string })
    expect(await failureOf(host.put('/etc/hostname', ''))).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/remote path/) as string })
    expect(await failureOf(host.get('x\0', 'y'))).toMatchObject({ code: 'USAGE' })
    expect(await failureOf(host.get('x', 'y', { timeout: 'never' }))).toMatchObject({ code: 'USAGE' })
    for (const parallel of [0, -1, 1.5, Number.NaN]) expect(await failureOf(fleet.remex.hosts('all').run('true', { parallel }).next())).toMatchObject({ code: 'USAGE', message: expect.stringMatching(/parallel/) as string })
  })
})

describe('standard input that fails', () => {
  it('ends the command, which must not take it for whole, and is thrown', async () => {
    await using fleet: TestFleet = await fleetOf({ vm01: server })
    const source = new Readable({ read: () => undefined })
    const running = fleet.remex.host('vm01').run('cat; echo whole > taken-for-whole; sleep 28', { stdin: source, onOutput: () => void source.destroy(new Error('the disk broke')) })
    source.push('half')
    await expect(running).rejects.toThrow('the disk broke')
    expect(await readdir(server.home)).not.toContain('taken-for-whole')
    expect((await fleet.records()).at(-1)).toMatchObject({ event: 'finish', status: 'error' })
  })
})

describe('a deadline', () => {
  it('begins no further step of a command when it ends the one that runs', async () => {
    await using fleet = await fleetOf({ vm01: server })
    const host = fleet.remex.host('vm01')
    const text = 'for step in 1 2 3; do sleep 19; echo $step >> next-step; done'
    const results = await Promise.all(Array.from({ length: 8 }, () => host.run(text, { timeout: '300ms' })))
    expect(results.map(({ ended, killed }) => `${ended} ${killed?.survivors.length ?? 'unknown'}`)).toEqual(Array.from(results, () => 'timed_out 0'))
    expect(await readdir(server.home)).not.toContain('next-step')
  })
})

describe('a Remex that is closed', () => {
  it('ends what still runs as lost, and connects to nothing any more', async () => {
    await using own = await startSshServer()
    await using fleet = await fleetOf({ vm01: own })
    const remex = await fleet.open()
    let closing: Promise<void> | undefined
    const error = await failureOf(remex.host('vm01').run('echo up; sleep 5', { onOutput: () => { closing ??= remex.close() } }))
    expect(error).toMatchObject({ mayHaveRun: true, code: 'CONNECTION_LOST', result: { ended: 'lost', stdout: 'up\n' } })
    await closing
    await until(() => own.openConnections === 0, { what: 'the end of the connection' })
    expect(eventsOf(await fleet.records())).toEqual(['begin run -', 'finish run CONNECTION_LOST'])
    expect(await failureOf(remex.host('vm01').run('true'))).toMatchObject({ code: 'USAGE', message: 'this Remex was closed' })
    expect(own.execs.filter((text) => text.includes('sleep 5'))).toHaveLength(1)
  })
})
