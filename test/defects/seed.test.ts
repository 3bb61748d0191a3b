import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { Secret } from '../../src/core/secret.ts'
import { downloadFile, executeRemoteCommand, executeRemoteScript, Remex, uploadFile } from '../../src/index.ts'
import * as faults from '../../testkit/fault-servers.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type TestFleet } from '../interop/fleet-of.ts'

/** Each test is named after what the original service did wrong, as what is done instead; on its behaviour it would fail. */

const repository = dirname(dirname(import.meta.dirname))
let server: TestSshServer
let fleet: TestFleet
let here: string
beforeAll(async () => {
  server = await startSshServer()
  fleet = await fleetOf({ vm01: server }, { settings: { connect_timeout: '20s' } })
  here = await mkdtemp(join(tmpdir(), 'remex-defects-'))
})
afterAll(async () => {
  await fleet[Symbol.asyncDispose]()
  await server.close()
  await rm(here, { recursive: true })
})

describe('unlike the original service,', () => {
  it('1: a host whose key is not the one that was supplied is not spoken to', async () => {
    await using other = await startSshServer()
    await using own = await fleetOf({ vm01: other }, { vms: { vm01: { host_key: server.hostKeys[0]?.fingerprint } } })
    expect(await failureOf(executeRemoteCommand('vm01', 'true', 'operator', 30, { config: own.config }))).toMatchObject({ code: 'HOST_KEY_CHANGED', name: 'HostKeyMismatchError' })
    await using unknown = await fleetOf({ vm01: { server: other, knownHosts: '' } })
    expect(await failureOf(executeRemoteCommand('vm01', 'true', 'operator', 30, { config: unknown.config }))).toMatchObject({ code: 'HOST_KEY_UNKNOWN' })
    expect([other.logins, other.execs.length]).toEqual([0, 0])
  })

  it('2: a timeout ends the command and its children on the host, and standard input is closed', async () => {
    expect(await fleet.remex.host('vm01').run('cat; echo no input', { timeout: '10s' })).toMatchObject({ stdout: 'no input\n' })
    const error = await failureOf(executeRemoteCommand('vm01', 'setsid sleep 12.5 & sleep 12.5; :', 'operator', 1, { config: fleet.config }))
    expect(error).toMatchObject({ name: 'CommandTimeoutError', result: { killed: { survivors: [] } } })
    const { executionTime } = error.result as { executionTime: number }
    expect(executionTime).toBeGreaterThanOrEqual(1)
    expect(executionTime).toBeLessThan(7)
    expect((await fleet.remex.host('vm01').run('ps -eo args | grep "[s]leep 12.5"')).stdout).toBe('')
  })

  it('2: a transfer has a timeout that is kept', async () => {
    await using silent = await faults.silentAfterAccept()
    await using own = await fleetOf({ vm01: silent }, { settings: { connect_timeout: '20s' } })
    const startMs = performance.now()
    expect(await failureOf(downloadFile('vm01', 'x', join(here, 'x'), 'operator', { config: own.config, timeout: 0.5 }))).toMatchObject({ code: 'TIMED_OUT' })
    expect(performance.now() - startMs).toBeLessThan(10_000)
  })

  it('3: a host without a checksum tool verifies nothing by silence: the file is read back, or it is an error', async () => {
    const bare = await mkdtemp(join(here, 'bin-'))
    for (const tool of ['sh', 'env', 'cat']) await symlink(`/bin/${tool}`, join(bare, tool)).catch(() => symlink(`/usr/bin/${tool}`, join(bare, tool)))
    await using toolless = await startSshServer({ env: { PATH: bare } })
    await using own = await fleetOf({ vm01: toolless })
    await writeFile(join(here, 'sent'), 'whole')
    expect(await own.remex.host('vm01').put(join(here, 'sent'), '-x')).toMatchObject({ verified: true, sizeBytes: 5 })
    // A tool that is there is believed, and what it says is compared.
    await writeFile(join(bare, 'sha256sum'), `#!/bin/sh\necho ${'0'.repeat(64)} -\n`, { mode: 0o755 })
    expect(await failureOf(own.remex.host('vm01').put(join(here, 'sent'), '-x'))).toMatchObject({ code: 'CHECKSUM_MISMATCH' })
    expect(await readFile(join(toolless.home, '-x'), 'utf8')).toBe('whole')
    expect(await readdir(toolless.home)).toEqual(['-x'])
  })

  it('3: a download of what is not there leaves the local file as it was, and nothing beside it', async () => {
    const kept = join(here, 'kept')
    await writeFile(kept, 'before')
    expect(await failureOf(downloadFile('vm01', 'nowhere', kept, 'operator', { config: fleet.config }))).toMatchObject({ code: 'REMOTE_NOT_FOUND' })
    expect(await readFile(kept, 'utf8')).toBe('before')
    expect((await readdir(here)).filter((name) => name.includes('.remex-'))).toEqual([])
  })

  it('4: a directory that is not there stops compound commands', async () => {
    const result = await executeRemoteCommand('vm01', 'echo A; echo B || echo C', 'operator', 30, { config: fleet.config, workingDirectory: '/nowhere' })
    expect(result).toMatchObject({ stdout: '', success: false })
    expect(result.stderr).toContain('/nowhere')
    expect(await executeRemoteCommand('vm01', 'pwd', 'operator', 30, { config: fleet.config, workingDirectory: '~' })).toMatchObject({ stdout: `${server.home}\n` })
  })

  it('5: what a repeat cannot mend is not repeated, and what may have run is not run again', async () => {
    await using refusing = await faults.rejectsAuthentication()
    await using own = await fleetOf({ vm01: refusing }, { settings: { default_retry: 3 } })
    expect(await failureOf(executeRemoteCommand('vm01', 'true', 'operator', 30, { config: own.config }))).toMatchObject({ name: 'AuthenticationError', result: { attempts: 1 } })
    expect(refusing.connections).toBe(1)
    expect((await own.records()).at(-1)).toMatchObject({ event: 'finish', error_code: 'AUTH_FAILED', attempts: 1 })
    expect(await failureOf(fleet.remex.host('vm01').get('nowhere', join(here, 'x'), { retries: 3 }))).toMatchObject({ code: 'REMOTE_NOT_FOUND', result: { attempts: 1 } })
    await using dropping = await faults.dropsAfterExecStarted()
    await using other = await fleetOf({ vm01: dropping }, { settings: { default_retry: 3 } })
    await failureOf(other.remex.host('vm01').run('echo once >> ran'))
    expect(dropping.execs.filter((text) => text.includes('echo once'))).toHaveLength(1)
  })

  it('6: a lost connection is no exit status', async () => {
    await using dropping = await faults.dropsAfterExecStarted()
    await using own = await fleetOf({ vm01: dropping })
    const error = await failureOf(executeRemoteCommand('vm01', 'echo x', 'operator', 30, { config: own.config }))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true, result: { ended: 'lost', exitCode: null } })
    expect(await fleet.remex.host('vm01').run('kill -KILL $$')).toMatchObject({ ended: 'signaled', signal: 'KILL', exitCode: null })
  })

  it.each(['kex', 'serverHostKey', 'cipher'] as const)('7: no weak algorithm is agreed on: %s', async (category) => {
    await using weak = await faults.offersOnlyWeakAlgorithms(category)
    await using own = await fleetOf({ vm01: weak })
    expect(await failureOf(own.remex.host('vm01').run('true'))).toMatchObject({ code: 'HANDSHAKE_FAILED', mayHaveRun: false })
    expect(weak.logins).toBe(0)
  })

  it('7: no MAC of MD5 or SHA-1 is agreed on where the cipher needs one', async () => {
    await using weak = await startSshServer({ algorithms: { cipher: ['aes128-ctr'], hmac: ['hmac-sha1', 'hmac-md5'] } })
    await using own = await fleetOf({ vm01: weak })
    expect(await failureOf(own.remex.host('vm01').run('true'))).toMatchObject({ code: 'HANDSHAKE_FAILED', message: expect.stringMatching(/hmac-sha1/) as string })
  })

  it('8: the audit log is on disk before anything runs, holds no secret, cannot be forged, and has refusals too', async () => {
    await using own = await fleetOf({ vm01: server, vm02: server }, { vms: { vm02: { enabled: false } } })
    const forged = `echo hunter2-secret | cat\n2026-01-01 | user_id=root | status=success`
    let begun = ''
    const onOutput = async (): Promise<void> => void (begun = await readFile(join(own.auditPath, 'audit.jsonl'), 'utf8'))
    await own.remex.host('vm01').run(forged, { env: { TOKEN: new Secret('hunter2-secret') }, onOutput })
    expect(begun.split('\n').filter(Boolean)).toHaveLength(1)
    await failureOf(own.remex.host('vm02').put('/etc/hostname', 'x'))
    await failureOf(own.remex.host('vm01').put(join(here, 'no such file'), 'x'))
    const text = await readFile(join(own.auditPath, 'audit.jsonl'), 'utf8')
    expect(text).not.toContain('hunter2')
    const events = (await own.records()).map(({ event, operation }) => `${event} ${operation ?? ''}`)
    expect(events).toEqual(['begin run', 'finish run', 'denied upload', 'begin upload', 'finish upload'])
    await writeFile(join(own.auditPath, 'audit.jsonl'), text.replace('"vm_id":"vm01"', '"vm_id":"vm09"'))
    expect(await verifyAudit(own.auditPath)).toMatchObject({ ok: false, line: 1, problem: 'altered' })
  })

  it('9: every failure has a code of its own, in the time that was given', async () => {
    await using silent = await faults.silentAfterAccept()
    await using closing = await faults.closesBeforeBanner()
    await using own = await fleetOf({ vm01: silent, vm02: closing, vm03: server }, { settings: { connect_timeout: '1s' } })
    const startMs = performance.now()
    const { config } = own
    expect(await failureOf(executeRemoteCommand('vm01', 'true', 'operator', 1, { config }))).toMatchObject({ code: 'CONNECT_TIMEOUT', name: 'SSHConnectionError' })
    expect(await failureOf(executeRemoteCommand('vm02', 'true', 'operator', 1, { config }))).toMatchObject({ code: 'THROTTLED', name: 'SSHConnectionError' })
    expect(await failureOf(uploadFile('vm03', '/etc/hostname', 'nowhere/x', 'operator', { config }))).toMatchObject({ code: 'REMOTE_NOT_FOUND' })
    expect(await failureOf(uploadFile('vm03', join(here, 'none'), 'x', 'operator', { config }))).toMatchObject({ code: 'LOCAL_NOT_FOUND' })
    expect(performance.now() - startMs).toBeLessThan(10_000)
  })

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['an unknown key', { defualt_timeout: 30 }, /defualt_timeout.*default_timeout/],
    ['a wrong type', { default_retry: '3' }, /default_retry/],
    ['a kind of key storage that there is not', { key_storage_type: 'vault' }, /key_storage_type/],
    ['a destination of the log that there is not', { audit_log_destination: 'database' }, /audit_log_destination/],
    ['a checksum that is not computed', { checksum_algorithm: 'md5' }, /checksum_algorithm/],
  ])('10: the configuration is checked: %s is refused by name', async (_what, settings, message) => {
    const config = { ...fleet.config, remote_execution: { ...(fleet.config['remote_execution'] as object), ...settings } }
    expect(await failureOf(Remex.open({ config }))).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringMatching(message) as string })
  })

  it('10: default_timeout and max_parallel_commands are kept, and a key directory that is not there is an error', async () => {
    const remex = await fleet.open({ settings: { default_timeout: '300ms' } })
    expect(await remex.host('vm01').run('sleep 11; :')).toMatchObject({ ended: 'timed_out' })
    await using twice = await fleetOf({ vm01: server, vm02: server }, { settings: { max_parallel_commands: 1 } })
    for await (const { stdout } of twice.remex.hosts('all').run('mkdir busy && sleep 0.3 && rmdir busy && echo alone')) expect(stdout).toBe('alone\n')
    const lost = await fleet.open({ settings: { key_storage_path: join(here, 'no-keys') } })
    expect(await failureOf(lost.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE', message: expect.stringContaining('no-keys') as string })
  })

  it('11: allowed_vm_ids never brings back a disabled host, options are known, and no attempts are a wrong call', async () => {
    const remex = await fleet.open({ vms: { vm01: { enabled: false } }, settings: { allowed_vm_ids: ['vm01'] } })
    expect(await failureOf(remex.host('vm01').run('true'))).toMatchObject({ code: 'HOST_NOT_ALLOWED' })
    const options = { config: fleet.config, verify_checksum: false }
    expect(await failureOf(uploadFile('vm01', '/etc/hostname', 'x', 'operator', options))).toMatchObject({ code: 'USAGE', message: expect.stringContaining('verify_checksum') as string })
    expect(await failureOf(executeRemoteCommand('vm01', 'true', 'operator', 30, { config: fleet.config, retries: 0 }))).toMatchObject({ code: 'USAGE' })
  })

  it('12: a script runs from a directory of its own, with arguments and an interpreter, and is removed; a relative path works', async () => {
    const local = join(here, 'where.txt')
    await writeFile(local, 'echo "$0 $1"; ls -ld "$(dirname "$0")" | cut -c1-10\n')
    const { stdout } = await fleet.remex.host('vm01').script(local, { args: ['a b'], interpreter: 'sh' })
    expect(stdout).toMatch(/^\/.*\/remex-[0-9a-f]{20}\/where\.txt a b\ndrwx------\n$/)
    await expect(stat(dirname(stdout.split(' ')[0] ?? ''))).rejects.toThrow(/ENOENT/)
    await writeFile(join(server.home, 'relative.sh'), '#!/bin/sh\necho relative\n')
    await chmod(join(server.home, 'relative.sh'), 0o755)
    expect(await executeRemoteScript('vm01', 'relative.sh', 'operator', 30, { config: fleet.config })).toMatchObject({ stdout: 'relative\n' })
    expect(await failureOf(executeRemoteScript('vm01', 'relative.sh', 'operator', 30, { config: fleet.config, uploadFirst: true }))).toMatchObject({ code: 'USAGE' })
  })

  it('13: one connection serves many commands at once, output is bounded, and lines come live', async () => {
    await using own = await startSshServer()
    await using pooled = await fleetOf({ vm01: own })
    const host = pooled.remex.host('vm01')
    await Promise.all(Array.from({ length: 8 }, () => host.run('true')))
    await host.put('/etc/hostname', 'x')
    expect(own.connections).toBe(1)
    const flood = await host.run('head -c 3000000 /dev/zero', { maxOutputBytes: 100 })
    expect([flood.stdoutRaw.length, flood.stdoutBytes, flood.truncated]).toEqual([100, 3_000_000, true])
    const lines: string[] = []
    for await (const line of host.$`echo one; sleep 10; echo two`) {
      lines.push(line)
      break
    }
    expect(lines).toEqual(['one'])
  })

  it('14: two calls of the program at once both work, and only what was asked for is on stdout', async () => {
    const path = join(here, 'config.yml')
    await writeFile(path, JSON.stringify(fleet.config))
    const call = (): Promise<{ stdout: string }> => promisify(execFile)(join(repository, 'remex'), ['--config', path, 'hosts', 'list', '--json'], { timeout: 100_000 })
    const outputs = await Promise.all([call(), call()])
    for (const { stdout } of outputs) expect(JSON.parse(stdout)).toMatchObject({ vm_id: 'vm01' })
  }, 120_000)

  it('15: every host is enrolled alike, by its fingerprint, and a revoked key opens nothing', async () => {
    await using own = await startSshServer()
    await using untrusted = await fleetOf({ vm04: { server: own, knownHosts: '' } })
    const { trust } = untrusted.remex
    const [offered] = await trust.offered('vm04')
    expect(offered).toMatchObject({ status: 'unknown', fingerprint: own.hostKeys[0]?.fingerprint })
    expect(await failureOf(trust.trust('vm04', { fingerprint: `SHA256:${'A'.repeat(43)}` }))).toMatchObject({ code: 'HOST_KEY_CHANGED' })
    expect(await failureOf(untrusted.remex.host('vm04').run('true'))).toMatchObject({ code: 'HOST_KEY_UNKNOWN' })
    expect(await trust.trust('vm04', { fingerprint: offered?.fingerprint ?? '' })).toHaveLength(1)
    expect(await untrusted.remex.host('vm04').run('true')).toMatchObject({ success: true })
    await using revoked = await faults.revokedHostKey()
    await using other = await fleetOf({ vm04: { server: revoked, knownHosts: revoked.staleKnownHosts } })
    expect(await failureOf(other.remex.host('vm04').run('true'))).toMatchObject({ code: 'HOST_KEY_REVOKED' })
  })

  it('16: a test run that skipped everything, or did not run, does not look as if it had passed', async () => {
    const { tally } = (await import(join(repository, 'scripts/tally.mjs'))) as { tally: (file: string, status: number | null) => { line: string; failed: number } }
    expect(tally(join(here, 'no report'), 0)).toEqual({ line: '0 passed, 1 failed', failed: 1 })
    expect(tally(join(here, 'no report'), 1)).toEqual({ line: '0 passed, 1 failed', failed: 1 })
    const report = { testResults: [], numPassedTests: 0, numFailedTests: 0, numPendingTests: 16, numTodoTests: 0 }
    await writeFile(join(here, 'report.json'), JSON.stringify(report))
    expect(tally(join(here, 'report.json'), 0).line).toBe('0 passed, 1 failed, 16 skipped')
  })

  it('17: a key that others can read is refused, and a passphrase is taken', async () => {
    const key = makeKeyPair('ed25519', { passphrase: 'open sesame' })
    await using own = await startSshServer({ users: [{ name: 'tester', publicKeys: [key.publicKey] }] })
    await using locked = await fleetOf({ vm01: own })
    const path = join(locked.folder, 'keys/id_ed25519_vm01')
    await writeFile(path, key.privateKey)
    const open = async (passphrase: string): Promise<Remex> => Remex.open({ config: locked.config, user: 'tester', env: { REMEX_KEY_PASSPHRASE: passphrase } })
    await using right = await open('open sesame')
    expect(await right.host('vm01').run('true')).toMatchObject({ success: true })
    await using wrong = await open('wrong')
    expect(await failureOf(wrong.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE', message: expect.stringMatching(/passphrase/) as string })
    expect(await failureOf(locked.remex.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE', hint: expect.stringContaining('REMEX_KEY_PASSPHRASE') as string })
    await chmod(path, 0o644)
    expect(await failureOf(locked.remex.host('vm01').run('true'))).toMatchObject({ code: 'KEY_UNUSABLE', message: expect.stringMatching(/0?644/) as string })
  })

  it('17: a host may have an IPv6 address', async () => {
    const six = await startSshServer({ host: '::1' }).catch(() => undefined)
    if (!six) return expect(six, 'this machine has no IPv6').toBeUndefined()
    await using own = await fleetOf({ vm01: six })
    expect(await own.remex.host('vm01').run('echo six')).toMatchObject({ stdout: 'six\n' })
    await six.close()
  })
})
