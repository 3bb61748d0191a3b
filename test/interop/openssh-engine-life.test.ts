import { once } from 'node:events'
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import { RunResult } from '../../src/core/outcome.ts'
import type { Remex } from '../../src/remex.ts'
import { dropsAfterExecStarted, silentAfterAccept } from '../../testkit/fault-servers.ts'
import { startNetwork, type TestNetwork } from '../../testkit/network.ts'
import type { OpensshServer } from '../../testkit/openssh-server.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'
import { directoryOn, skipReason, startSshd } from './openssh-here.ts'

const reason = skipReason('ssh', 'sshd') || (process.platform === 'linux' ? '' : ' (skipped: what is left is looked for in /proc)')

describe.skipIf(reason !== '')(`a connection of the openssh engine${reason}`, () => {
  let server: OpensshServer
  let network: TestNetwork
  let fleet: TestFleet
  let folder: string
  beforeAll(async () => {
    // Its places are made in here, and nothing else is.
    folder = await mkdtemp(join(tmpdir(), 'remex-life-'))
    server = await startSshd({ postQuantum: true })
    network = await startNetwork({ to: { host: server.address, port: server.port } })
    fleet = await fleetOf({ vm01: { server: { ...server, port: network.port } } }, { settings: { engine: 'openssh' }, vms: { vm01: { host_key: server.hostKeys[0]?.fingerprint } } })
    vi.stubEnv('TMPDIR', folder)
  })
  afterAll(async () => {
    vi.unstubAllEnvs()
    await fleet[Symbol.asyncDispose]()
    await network.close()
    await server.close()
    await rm(folder, { recursive: true })
  })

  /** Processes of ssh work in a place of the engine. */
  async function processesThere(): Promise<readonly string[]> {
    const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const places = await Promise.all(ids.map((id) => readlink(`/proc/${id}/cwd`).catch(() => '')))
    return ids.filter((_id, index) => places[index]?.startsWith(folder))
  }

  /** Aborts when so many bytes more have come from the server. */
  function whenDelivered(bytes: number): AbortSignal {
    const abort = new AbortController()
    const goal = network.delivered.toClient + bytes
    void until(() => network.delivered.toClient >= goal, { what: 'the connection to come so far' }).then(() => abort.abort())
    return abort.signal
  }

  const nothingIsLeft = (): Promise<unknown> =>
    until(async () => (await readdir(folder)).length === 0 && (await processesThere()).length === 0, { what: 'nothing to be left' })

  it('is one process in one directory as long as it is open, and leaves neither when it is closed', async () => {
    const remex = await fleet.open()
    expect(await remex.host('vm01').run('echo in')).toMatchObject({ stdout: 'in\n' })
    expect([await readdir(folder), await processesThere()]).toEqual([[expect.stringMatching(/^remex-/)], [expect.stringMatching(/^\d+$/)]])
    await remex.close()
    await nothingIsLeft()
  })

  it.each<[sentence: string, act: (remex: Remex) => Promise<unknown>]>([
    ['a host key that is not known', () => fleet.open({ vms: { vm01: { host_key: undefined } }, settings: { known_hosts_path: join(fleet.folder, 'none') } }).then((other) => other.host('vm01').run('true').finally(() => other.close()))],
    ['a login that is refused', () => fleet.open({ vms: { vm01: { ssh_user: 'nobody' } } }).then((other) => other.host('vm01').run('true').finally(() => other.close()))],
    ['a cancel before it connects', (remex) => remex.host('vm01').run('sleep 5', { signal: AbortSignal.timeout(1) })],
    ['a cancel while keys are exchanged', (remex) => remex.host('vm01').run('sleep 5', { signal: whenDelivered(1500) })],
    ['a cancel while it logs in', (remex) => remex.host('vm01').run('sleep 5', { signal: whenDelivered(2500) })],
    ['being closed while it connects', (remex) => Promise.all([remex.host('vm01').run('sleep 5'), once(whenDelivered(1500), 'abort').then(() => remex.close())])],
    ['being closed while something runs', (remex) => remex.host('vm01').run('echo up; sleep 5', { onOutput: () => void remex.close() })],
    ['a connection that is cut', (remex) => remex.host('vm01').run('echo up; sleep 5', { onOutput: () => network.cut() })],
  ])('leaves neither process nor file after %s', async (_sentence, act) => {
    const remex = await fleet.open()
    // So that what is to happen in the middle of connecting finds the time.
    network.setLatency(10)
    const end: unknown = await act(remex).catch((error: unknown) => error)
    network.setLatency(0)
    // A cancel that came after all, when the command ran already, is a result.
    expect(end instanceof RemexError || (end instanceof RunResult && end.ended === 'cancelled')).toBe(true)
    await remex.close()
    await nothingIsLeft()
  })

  it('leaves neither process nor file after a server that says nothing', async () => {
    await using silent = await silentAfterAccept()
    const remex = await fleet.open({ vms: { vm01: { ssh_port: silent.port } }, settings: { connect_timeout: '500ms' } })
    expect(await failureOf(remex.host('vm01').run('true'))).toMatchObject({ code: 'CONNECT_TIMEOUT', mayHaveRun: false })
    await nothingIsLeft()
    await remex.close()
  })

  it('that is cut is lost, and no exit status; the next run has another', async () => {
    const remex = await fleet.open()
    const error = await failureOf(remex.host('vm01').run('echo up; sleep 5', { onOutput: () => network.cut() }))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true, result: { ended: 'lost', exitCode: null, stdout: 'up\n', engine: 'openssh' } })
    expect(await remex.host('vm01').run('echo again')).toMatchObject({ stdout: 'again\n' })
    await remex.close()
  })

  it('that ends before it is known whether the command was begun may have run it, and it is not begun twice', async () => {
    await using dropping = await dropsAfterExecStarted()
    await using other = await fleetOf({ vm01: dropping }, { settings: { engine: 'openssh', default_retry: 3 } })
    expect(await failureOf(other.remex.host('vm01').run('echo working'))).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    expect(dropping.execs.filter((command) => command.includes('echo working'))).toHaveLength(1)
  })

  it('that goes silent is given up after three keepalives', async () => {
    await using quiet = await startNetwork({ to: { host: server.address, port: server.port } })
    const remex = await fleet.open({ vms: { vm01: { ssh_port: quiet.port } }, settings: { keepalive_interval: '1s' } })
    const error = await failureOf(remex.host('vm01').run('echo up; sleep 20', { onOutput: () => quiet.stall() }))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    await remex.close()
  })

  it('carries a file that goes on where it was cut', async () => {
    await using remex = await fleet.open({ settings: { default_retry: 3 } })
    const host = remex.host('vm01')
    await using there = await directoryOn(host)
    const [big, here] = [`${there.path}/big`, join(fleet.folder, 'big')]
    expect(await host.run(`head -c 20000000 /dev/urandom > ${big}`)).toMatchObject({ exitCode: 0 })
    network.cutAfterBytes(5_000_000, 'toClient')
    const error = await failureOf(host.get(big, here, { retries: 1 }))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST' })
    const receipt = await host.get(big, here, { resume: true })
    expect(receipt).toMatchObject({ verified: true, sizeBytes: 20_000_000, engine: 'openssh' })
    expect(receipt.resumedFromBytes).toBeGreaterThan(0)
  })
})

describe.skipIf(reason !== '')(`a durable run by the openssh engine${reason}`, () => {
  let server: OpensshServer
  let network: TestNetwork
  let fleet: TestFleet
  beforeAll(async () => {
    server = await startSshd({ postQuantum: true })
    network = await startNetwork({ to: { host: server.address, port: server.port } })
    fleet = await fleetOf({ vm01: { server: { ...server, port: network.port } } }, { settings: { engine: 'openssh' }, vms: { vm01: { host_key: server.hostKeys[0]?.fingerprint } } })
  })
  afterAll(async () => {
    await fleet[Symbol.asyncDispose]()
    await network.close()
    await server.close()
  })

  /** What the host keeps of a run is in the home of the login, which may be ours. */
  const remove = async (runId: string): Promise<void> => {
    for await (const pruned of fleet.remex.runs.prune({ targets: 'vm01', runId })) expect(pruned).toMatchObject({ removed: [runId], error: null })
  }

  it('whose connection is cut goes on at the byte where it did', async () => {
    const notices: string[] = []
    const result = await fleet.remex.host('vm01').run('echo up; sleep 1; echo down; exit 3', {
      durable: true,
      timeout: '20s',
      onNotice: (text) => void notices.push(text),
      onOutput: (_stream, chunk) => (chunk.toString() === 'up\n' ? network.cut() : undefined),
    })
    expect(result).toMatchObject({ exitCode: 3, stdout: 'up\ndown\n', attempts: 2, failures: ['CONNECTION_LOST'], engine: 'openssh' })
    await remove(result.runId)
    expect(notices).toEqual([expect.stringMatching(/^vm01: the connection broke; attaching to \S+ again at byte 3$/)])
  })

  it('that was started is recovered whole by another, after the connection was cut', async () => {
    const { runId } = await fleet.remex.host('vm01').start('i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; sleep 0.3; exit 6', { timeout: '20s' })
    network.cut()
    const other = await fleet.open()
    const result = await other.runs.attach(runId)
    await remove(runId)
    expect(result).toMatchObject({ exitCode: 6, stdout: Array.from({ length: 500 }, (_, index) => `line ${index}\n`).join('') })
  })

  it.each([200, 3000, 7000, 15_000, 40_000])('loses no byte where the connection is cut %i bytes later', async (bytes) => {
    network.cutAfterBytes(bytes, 'toClient')
    const result = await fleet.remex.host('vm01').run('i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done; exit 7', { durable: true, timeout: '20s' })
    await remove(result.runId)
    expect(result).toMatchObject({ exitCode: 7, stdout: Array.from({ length: 4000 }, (_, index) => `line ${index}\n`).join('') })
  })

  it('is ended whole by a cancel', async () => {
    const { runId } = await fleet.remex.host('vm01').start('setsid sleep 431 & echo up; sleep 431; :', { timeout: '20s' })
    await until(async () => (await fleet.remex.runs.show(runId)).stdoutBytes === 3, { what: 'the command' })
    expect(await fleet.remex.runs.cancel(runId)).toMatchObject({ ended: 'cancelled', stdout: 'up\n', killed: { survivors: [], scope: 'tree' } })
    await remove(runId)
  })
})
