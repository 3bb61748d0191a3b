import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RemexError } from '../../src/core/errors.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import type { RunResult } from '../../src/core/outcome.ts'
import type { GroupRunOptions } from '../../src/fleet/group.ts'
import * as faults from '../../testkit/fault-servers.ts'
import { startSshServer, type TestSshServer } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'
import { fleetOf, type Members } from './fleet-of.ts'

/** How a fault is told. */
interface Told {
  readonly code: string
  readonly ended: RunResult['ended']
  readonly mayHaveRun: boolean
  readonly message: RegExp
}

const notStarted = (code: string, message: RegExp): Told => ({ code, ended: 'not_started', mayHaveRun: false, message })
const lost: Told = { code: 'CONNECTION_LOST', ended: 'lost', mayHaveRun: true, message: /broke|without an answer|closed the connection/ }

/** `[what the server does, the server, what is told of it]` */
const FAULTS: readonly (readonly [string, () => Promise<Members[string] & AsyncDisposable>, Told])[] = [
  ['accepts and says nothing', faults.silentAfterAccept, notStarted('CONNECT_TIMEOUT', /no answer within 3 s/)],
  ['closes before its banner', faults.closesBeforeBanner, notStarted('THROTTLED', /before its SSH banner/)],
  ['is no SSH server', faults.sendsGarbageBanner, notStarted('HANDSHAKE_FAILED', /SSH/)],
  ['does not listen', faults.refusesConnection, notStarted('UNREACHABLE', /connection refused/)],
  ['closes during the login', faults.closesDuringAuthentication, notStarted('UNREACHABLE', /while logging in/)],
  ['takes no login', faults.rejectsAuthentication, notStarted('AUTH_FAILED', /tester/)],
  ['offers only weak algorithms', () => faults.offersOnlyWeakAlgorithms(), notStarted('HANDSHAKE_FAILED', /no common .* algorithm/)],
  ['offers only weak ciphers', () => faults.offersOnlyWeakAlgorithms('cipher'), notStarted('HANDSHAKE_FAILED', /no common cipher algorithm.*aes128-cbc/)],
  ['has an RSA host key of 1024 bits', faults.rsa1024HostKey, notStarted('HANDSHAKE_FAILED', /1024/)],
  ['drops the connection when the command has started', faults.dropsAfterExecStarted, lost],
  ['drops the connection in place of an answer to the command', faults.dropsBeforeExecReply, lost],
  ['never answers to the command', faults.neverReplies, { code: 'TIMED_OUT', ended: 'timed_out', mayHaveRun: true, message: /did not end within 1s/ }],
]

/** Patient enough for a slow machine, and quick enough for a test. */
const SETTINGS = { connect_timeout: '3s', keepalive_interval: '1s' }

/** The only result, also where the run has none: then that of the error. */
async function runOn(member: Members[string], options: GroupRunOptions = {}, settings = {}): Promise<{ result: RunResult; error: RemexError | null; record: AuditRecord | undefined }> {
  await using fleet = await fleetOf({ vm01: member }, { settings: { ...SETTINGS, ...settings } })
  for await (const result of fleet.remex.hosts('vm01').run('echo up', { timeout: '1s', ...options })) {
    return { result, error: result.error, record: (await fleet.records()).at(-1) }
  }
  throw new Error('there is no result')
}

/** How often the command of {@link runOn} came, besides what Remex asks for itself. */
const timesRun = ({ execs }: TestSshServer): number => execs.filter((text) => text.includes('echo up')).length

describe('a server that', () => {
  it.concurrent.each(FAULTS)('%s is told by its own code, with host and address', async (_does, start, { message, ...told }) => {
    await using server = await start()
    const { result, error } = await runOn(server)
    expect({ code: error?.code, ended: result.ended, mayHaveRun: error?.mayHaveRun }).toEqual(told)
    expect(error?.message).toMatch(message)
    expect(error?.message).toContain('vm01')
    if (told.code !== 'TIMED_OUT') expect(error?.message).toContain('127.0.0.1')
    expect(error?.hint).not.toBe('')
    expect(result).toMatchObject({ vmId: 'vm01', attempts: 1, success: false, exitCode: null })
  })

  it.concurrent('accepts and says nothing is given connect_timeout, whatever the deadline of the command', async () => {
    await using server = await faults.silentAfterAccept()
    const { result } = await runOn(server, { timeout: '50ms' }, { connect_timeout: '500ms' })
    expect(result).toMatchObject({ ended: 'not_started', error: { code: 'CONNECT_TIMEOUT', mayHaveRun: false } })
    expect(result.executionTime).toBeGreaterThan(0.4)
    expect(result.executionTime).toBeLessThan(3)
  })

  it.concurrent('accepts and says nothing does not hold back a cancel', async () => {
    await using server = await faults.silentAfterAccept()
    const cancel = new AbortController()
    const running = runOn(server, { signal: cancel.signal }, { connect_timeout: '20s' })
    await until(() => server.connections === 1, { what: 'the connection' })
    cancel.abort()
    const { result } = await running
    expect(result).toMatchObject({ ended: 'not_started', killed: null, error: { code: 'CANCELLED', mayHaveRun: false } })
    expect(result.executionTime).toBeLessThan(5)
  })

  it.concurrent('takes no login is asked once, however many retries there are', async () => {
    await using server = await faults.rejectsAuthentication()
    const { result } = await runOn(server, { retries: 5 })
    expect(result).toMatchObject({ attempts: 1, error: { code: 'AUTH_FAILED' } })
    expect(server.connections).toBe(1)
  })

  it.concurrent.each<[string, () => Promise<Members[string] & AsyncDisposable & { connections: number }>]>([
    ['closes before its banner', faults.closesBeforeBanner],
    ['accepts and says nothing', faults.silentAfterAccept],
  ])('%s is tried again, as often as was asked for', async (_does, start) => {
    await using server = await start()
    const { result, record } = await runOn(server, { retries: 2, timeout: '20s' }, { connect_timeout: '500ms' })
    expect(result).toMatchObject({ attempts: 2, ended: 'not_started', failures: [result.error?.code] })
    expect(record).toMatchObject({ event: 'finish', attempts: 2, attempt_errors: [result.error?.code] })
    expect(server.connections).toBe(2)
  })

  it.concurrent('drops the connection after the command has started never gets it twice', async () => {
    await using server = await faults.dropsAfterExecStarted()
    const { result } = await runOn(server, { retries: 3, timeout: '20s' })
    expect(result).toMatchObject({ attempts: 1, ended: 'lost', error: { code: 'CONNECTION_LOST', mayHaveRun: true, retryable: false } })
    expect(timesRun(server)).toBe(1)
  })

  it.concurrent('drops the connection gets an idempotent command as often as there are retries', async () => {
    await using server = await faults.dropsAfterExecStarted()
    const { result } = await runOn(server, { retries: 3, timeout: '20s', idempotent: true })
    expect(result).toMatchObject({ attempts: 3, ended: 'lost', error: { code: 'CONNECTION_LOST', mayHaveRun: true } })
    expect(timesRun(server)).toBe(3)
  })

  it.concurrent('drops the connection does not get an idempotent command again without the input that it has taken', async () => {
    await using server = await faults.dropsAfterExecStarted()
    const { result } = await runOn(server, { retries: 3, timeout: '20s', idempotent: true, stdin: Readable.from(['once']) })
    expect(result).toMatchObject({ attempts: 1, ended: 'lost' })
    expect(timesRun(server)).toBe(1)
  })

  it.concurrent('floods is held to the capture limit and ended by the deadline', async () => {
    await using server = await startSshServer()
    await using fleet = await fleetOf({ vm01: server }, { settings: SETTINGS })
    const before = process.memoryUsage().rss
    const result = await fleet.remex.host('vm01').run('yes 0123456789', { timeout: '1s', maxOutputBytes: 1000 })
    expect(result).toMatchObject({ ended: 'timed_out', truncated: true, killed: { survivors: [], scope: 'tree' } })
    expect(result.stdoutRaw).toHaveLength(1000)
    expect(result.stdoutBytes).toBeGreaterThan(1 << 20)
    expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20)
  })

  it.concurrent('floods whatever it is told says so of the verdict, too', async () => {
    await using server = await faults.floods()
    const { result } = await runOn(server, { timeout: '500ms', maxOutputBytes: 1000 })
    expect(result).toMatchObject({ ended: 'timed_out', killed: { ended: 0, scope: 'unknown' } })
    expect(result.executionTime).toBeLessThan(16)
  })

  it.concurrent('refuses the eleventh session on a connection serves twenty commands at once', async () => {
    await using server = await faults.refusesEleventhSession()
    await using fleet = await fleetOf({ vm01: server }, { settings: { connect_timeout: '20s' } })
    const host = fleet.remex.host('vm01')
    const results = await Promise.all(Array.from({ length: 20 }, (_, index) => host.run(`sleep 0.5; echo ${index}`)))
    expect(results.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 20 }, (_, index) => `${index}\n`))
    expect(server.execs.filter((text) => text.includes('sleep 0.5'))).toHaveLength(20)
    expect(server.connections).toBeGreaterThanOrEqual(2)
  })

  it.concurrent('takes its time is waited for', async () => {
    await using server = await faults.delays(300)
    const { result } = await runOn(server, { timeout: '20s' }, { connect_timeout: '20s' })
    expect(result).toMatchObject({ stdout: 'up\n', ended: 'exited', attempts: 1 })
    expect(result.executionTime).toBeGreaterThan(0.6)
  })

  it.concurrent('stops reading holds nobody up past the deadline, and the next run has a connection of its own', async () => {
    await using server = await faults.stopsReading()
    await using fleet = await fleetOf({ vm01: server }, { settings: SETTINGS })
    const host = fleet.remex.host('vm01')
    const input = Readable.from(Array.from({ length: 64 }, () => Buffer.alloc(1 << 20)))
    const result = await host.run('cat >/dev/null', { stdin: input, timeout: '500ms' })
    expect(result).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' } })
    expect(result.executionTime).toBeLessThan(16)
    expect(await host.run('echo on', { timeout: '10s' })).toMatchObject({ stdout: 'on\n' })
  })
})

describe('a host key that is', () => {
  const shown = (server: TestSshServer): string => server.hostKeys[0]?.fingerprint ?? 'no key'

  it.concurrent('unknown gets nothing from us, and its fingerprint is told', async () => {
    await using server = await startSshServer()
    const { error } = await runOn({ server, knownHosts: '' }, { retries: 3 })
    expect(error).toMatchObject({ code: 'HOST_KEY_UNKNOWN', mayHaveRun: false })
    expect(error?.message).toContain(shown(server))
    expect(error?.hint).toContain(`remex hosts trust vm01 --fingerprint ${shown(server)}`)
    expect([server.connections, server.sessions, server.logins]).toEqual([1, 0, 0])
  })

  it.concurrent('changed gets nothing from us, and both fingerprints are told', async () => {
    await using server = await faults.changedHostKey()
    const { error } = await runOn({ server, knownHosts: server.staleKnownHosts }, { retries: 3 })
    expect(error).toMatchObject({ code: 'HOST_KEY_CHANGED', name: 'HostKeyMismatchError' })
    expect(new Set(error?.message.match(/SHA256:[A-Za-z0-9+/]{43}/g))).toHaveProperty('size', 2)
    expect(error?.message).toContain(shown(server))
    expect([server.connections, server.sessions, server.logins]).toEqual([1, 0, 0])
  })

  it.concurrent('revoked gets nothing from us, though it is also listed as trusted', async () => {
    await using server = await faults.revokedHostKey()
    const { error } = await runOn({ server, knownHosts: server.staleKnownHosts }, { retries: 3 })
    expect(error).toMatchObject({ code: 'HOST_KEY_REVOKED' })
    expect(error?.message).toMatch(/known_hosts:2 marks as @revoked/)
    expect(error?.message).toContain(shown(server))
    expect([server.connections, server.sessions, server.logins]).toEqual([1, 0, 0])
  })

  it.concurrent('another than the one that is pinned gets nothing from us, whatever known_hosts says', async () => {
    await using server = await startSshServer()
    const pinned = `SHA256:${'A'.repeat(43)}`
    await using fleet = await fleetOf({ vm01: server }, { vms: { vm01: { host_key: pinned } } })
    const error: unknown = await fleet.remex.host('vm01').run('true').catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'HOST_KEY_CHANGED', message: expect.stringContaining(pinned) as string })
    expect(server.sessions).toBe(0)
  })
})

describe('a fan-out over good hosts and every fault at once', () => {
  const started: (Members[string] & AsyncDisposable)[] = []
  const members: Record<string, Members[string]> = {}
  beforeAll(async () => {
    for (const [index, [, start]] of FAULTS.entries()) started.push((members[`bad${index}`] = await start()))
    for (const id of ['good1', 'good2', 'good3']) started.push((members[id] = await startSshServer()))
  })
  afterAll(() => Promise.all(started.map((server) => server[Symbol.asyncDispose]())))

  it('gives each host its own report, the good ones without waiting for the others', async () => {
    await using fleet = await fleetOf(members, { settings: SETTINGS })
    const results: RunResult[] = []
    for await (const result of fleet.remex.hosts('all').run('echo up', { timeout: '1s' })) results.push(result)
    const order = results.map(({ vmId }) => vmId)
    expect(order.toSorted()).toEqual(Object.keys(members).toSorted())
    const good = results.filter(({ vmId }) => vmId.startsWith('good'))
    expect(good.map(({ ended, stdout }) => `${ended} ${stdout}`)).toEqual(['exited up\n', 'exited up\n', 'exited up\n'])
    // bad0 is silent: it takes the whole of connect_timeout.
    for (const id of ['good1', 'good2', 'good3']) expect(order.indexOf(id)).toBeLessThan(order.indexOf('bad0'))
    for (const [index, [, , told]] of FAULTS.entries()) {
      expect(results.find(({ vmId }) => vmId === `bad${index}`)).toMatchObject({ ended: told.ended, error: { code: told.code, mayHaveRun: told.mayHaveRun } })
    }
    const events = (await fleet.records()).map(({ event, vm_id: id }) => `${event} ${id ?? ''}`)
    expect(events.toSorted()).toEqual(order.flatMap((id) => [`begin ${id}`, `finish ${id}`]).toSorted())
  })
})
