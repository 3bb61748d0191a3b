import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { proveDurable } from '../../bench/durable.ts'
import type { RemexError } from '../../src/core/errors.ts'
import type { RunResult } from '../../src/core/outcome.ts'
import type { Host } from '../../src/fleet/host.ts'
import { Remex } from '../../src/remex.ts'
import { startNetwork } from '../../testkit/network.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { until } from '../../testkit/until.ts'
import { fleetOf, type TestFleet } from './fleet-of.ts'

const started = await startOpensshServer()
const server = 'skipped' in started ? undefined : started
const reason = 'skipped' in started ? started.skipped : ''

let fleet: TestFleet
let remex: Remex
let host: Host
let count = 0

/** The host may be our own user, whose runs of earlier are there still. */
const newId = (): string => `t${process.pid}-${Date.now()}-${count++}`

beforeAll(async () => {
  if (!server) return
  fleet = await fleetOf({ vm01: server })
  remex = await open('one')
  host = remex.host('vm01')
})
afterAll(async () => {
  if (server) await fleet[Symbol.asyncDispose]()
  await server?.close()
})

/** A Remex with a state directory of its own: another machine with the same access. */
const open = (name: string): Promise<Remex> => Remex.open({ config: fleet.config, user: 'tester', env: { PATH: process.env.PATH, REMEX_STATE_DIR: join(fleet.folder, `state-${name}`) } })

/** Runs a command in the directory that the host keeps for the run. */
const inRunDirectory = (runId: string, command: string): Promise<RunResult> => host.run(`cd "\${XDG_STATE_HOME:-$HOME/.local/state}/remex/runs/${runId}" && ${command}`)

const remove = async (runId: string): Promise<void> => {
  for await (const pruned of remex.runs.prune({ targets: 'vm01', runId })) expect(pruned).toMatchObject({ removed: [runId], error: null })
}

/** Starts what runs until it is ended, and waits until it says so. */
async function startLong(runId: string, command = 'echo up; exec sleep 60'): Promise<void> {
  expect(await host.start(command, { runId, timeout: '50s' })).toMatchObject({ runId, vmId: 'vm01', started: true, error: null })
  await until(async () => (await remex.runs.show(runId)).stdoutBytes === 3, { what: 'the command' })
}

describe.skipIf(!server)(`durable runs on the machine’s OpenSSH server${reason && ` (skipped: ${reason})`}`, () => {
  it('whose connection is cut at any moment start once, lose no byte and keep their exit status', async () => {
    const proof = await proveDurable({ runs: 30, clients: 10, pairs: 0, seed: 3 })
    expect(proof).toMatchObject({ wrong: [], startsOfOneId: 1 })
    expect(proof.reconnections).toBeGreaterThan(10)
  }, 60_000)

  it('give what comes after an offset to who attaches from another machine', async () => {
    const runId = newId()
    const text = 'printf 0123456789; printf abcdef >&2; exit 5'
    await host.run(text, { durable: true, runId })
    await using other = await open('two')
    expect(await other.runs.attach(runId)).toMatchObject({ runId, stdout: '0123456789', stderr: 'abcdef', exitCode: 5 })
    expect(await other.runs.attach(runId, { stdoutOffset: 4, stderrOffset: 5 })).toMatchObject({ stdout: '456789', stderr: 'f', exitCode: 5 })
    expect(await other.runs.attach(runId, { stdoutOffset: 10, stderrOffset: 6 })).toMatchObject({ stdout: '', stderr: '', exitCode: 5 })
    const chunks: [number, string][] = []
    for await (const { stream, chunk, offset } of other.runs.attach(runId, { stdoutOffset: 3 })) if (stream === 'stdout') chunks.push([offset, chunk.toString()])
    expect(chunks.map(([, chunk]) => chunk).join('')).toBe('3456789')
    expect(chunks[0]?.[0]).toBe(3)
    await remove(runId)
  })

  it('can be followed by two at once, each with every byte', async () => {
    const runId = newId()
    await host.start('i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); [ $((i%200)) != 0 ] || sleep 0.02; done; exit 6', { runId, timeout: '30s' })
    await using other = await open('two')
    const [first, second] = await Promise.all([remex.runs.attach(runId), other.runs.attach(runId)])
    expect(first).toMatchObject({ exitCode: 6, stdout: Array.from({ length: 2000 }, (_, index) => `line ${index}\n`).join('') })
    expect(second).toMatchObject({ exitCode: 6, stdout: first.stdout })
    await remove(runId)
  })

  it('do not start again under their id, and refuse another command', async () => {
    const runId = newId()
    expect(await host.run('echo $$', { durable: true, runId })).toMatchObject({ exitCode: 0 })
    const before = await remex.runs.attach(runId)
    expect(await host.run('echo $$', { durable: true, runId })).toMatchObject({ stdout: before.stdout })
    expect(await host.start('echo $$', { runId })).toMatchObject({ started: false })
    const refused: unknown = await host.run('echo other', { durable: true, runId }).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'USAGE', message: expect.stringContaining(runId) as string })
    await remove(runId)
  })

  it('are ended whole by a cancel, and a second cancel or one of two at once changes nothing', async () => {
    const runId = newId()
    await startLong(runId, 'setsid sh -c "trap \\"\\" TERM; sleep 60; :" & echo up; sleep 60; :')
    await using other = await open('two')
    const [first, second] = await Promise.all([remex.runs.cancel(runId), other.runs.cancel(runId)])
    expect(first).toMatchObject({ ended: 'cancelled', stdout: 'up\n', killed: { survivors: [], scope: 'tree' } })
    expect(second).toMatchObject({ ended: 'cancelled', killed: { survivors: [], scope: 'tree' } })
    expect(await remex.runs.cancel(runId)).toMatchObject({ ended: 'cancelled', killed: first.killed })
    expect(await remex.runs.show(runId)).toMatchObject({ state: 'cancelled', stdoutBytes: 3 })
    expect(await host.run(`grep -lzxF REMEX_RUN_ID=${runId} /proc/[0-9]*/environ 2>/dev/null; :`)).toMatchObject({ stdout: '' })
    await remove(runId)
  })

  it('that we leave in any moment of their start go on, or were never begun', async () => {
    let begun = 0
    for (let trial = 0; trial < 24; trial++) {
      const runId = newId()
      const leave = new AbortController()
      const running = host.run('sleep 0.4; echo done', { durable: true, runId, timeout: '20s', signal: leave.signal }).catch((error: unknown) => error)
      setTimeout(() => leave.abort(), trial * 4)
      await running
      const found: unknown = await remex.runs.attach(runId).then((result) => `${result.ended} ${result.stdout}`, (error: unknown) => (error as RemexError).code)
      if (found === 'RUN_NOT_FOUND') continue
      begun++
      expect(found).toBe('exited done\n')
      await remove(runId)
    }
    expect(begun).toBeGreaterThan(3)
  })

  it('that have ended stay as they were when they are cancelled', async () => {
    const runId = newId()
    await host.run('echo done; exit 4', { durable: true, runId })
    expect(await remex.runs.cancel(runId)).toMatchObject({ ended: 'exited', exitCode: 4, stdout: 'done\n', killed: null })
    expect(await remex.runs.attach(runId)).toMatchObject({ ended: 'exited', exitCode: 4 })
    await remove(runId)
  })

  it('keep their deadline when nobody is there', async () => {
    const runId = newId()
    await host.start('echo up; sleep 60; :', { runId, timeout: '600ms' })
    await until(async () => (await remex.runs.show(runId)).state === 'timed_out', { what: 'the deadline', timeoutMs: 8000 })
    const result = await remex.runs.attach(runId).then((kept) => kept, (error: unknown) => (error as { result: RunResult }).result)
    expect(result).toMatchObject({ ended: 'timed_out', stdout: 'up\n', killed: { survivors: [], scope: 'tree' } })
    await remove(runId)
  })

  it('tell a command of the user’s umask and environment as a plain run does', async () => {
    const command = 'umask; echo $V; echo $n$d$kill'
    const plain = await host.run(command, { env: { V: 'x', n: '1', d: '2', kill: '3' } })
    const runId = newId()
    expect(await host.run(command, { durable: true, runId, env: { V: 'x', n: '1', d: '2', kill: '3' } })).toMatchObject({ stdout: plain.stdout })
    await remove(runId)
  })

  it('are lost, with the evidence, when their supervisor was killed', async () => {
    const runId = newId()
    await startLong(runId)
    const pid = (await inRunDirectory(runId, 'read -r boot pid rest < begun; echo $pid; kill -KILL $pid')).stdout.trim()
    await until(async () => (await remex.runs.show(runId)).state === 'lost', { what: 'the loss' })
    const info = await remex.runs.show(runId)
    expect(info).toMatchObject({ state: 'lost', evidence: expect.stringContaining(pid) as string, stdoutBytes: 3, exitCode: null })
    await host.run(`for f in $(grep -lzxF REMEX_RUN_ID=${runId} /proc/[0-9]*/environ 2>/dev/null); do f=\${f#/proc/}; kill -KILL \${f%/*}; done`)
    await remove(runId)
  })

  it('are lost, with the evidence, when their host was started again meanwhile', async () => {
    const runId = newId()
    await startLong(runId)
    // What a reboot leaves behind: another boot id than that of now, and no supervisor.
    await inRunDirectory(runId, 'read -r boot pid rest < begun; echo "00000000-0000-0000-0000-000000000000 $pid $rest" > begun')
    const info = await remex.runs.show(runId)
    expect(info).toMatchObject({ state: 'lost', evidence: expect.stringContaining('reboot') as string, exitCode: null })
    await remex.runs.cancel(runId).catch(() => undefined)
    await remove(runId)
  })

  it('are noted where they were started, with a mode that is nobody else’s', async () => {
    const runId = newId()
    await host.run('true', { durable: true, runId })
    const note = await readFile(join(fleet.folder, 'state-one', 'runs', `${runId}.vm01.json`), 'utf8')
    expect(JSON.parse(note)).toMatchObject({ run_id: runId, vm_id: 'vm01', user: 'tester', ended: 'exited', exit_code: 0 })
    await remove(runId)
    await expect(remex.runs.show(runId)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  })

  it('say on stderr and in the audit record that the connection broke, and go on at the byte where it did', async () => {
    const target = server as OpensshServer
    await using network = await startNetwork({ to: { host: target.address, port: target.port } })
    const vms = { vm01: { host_key: target.hostKeys.map(({ fingerprint }) => fingerprint) } }
    await using behind = await fleetOf({ vm01: { server: { ...target, port: network.port } } }, { vms })
    const notices: string[] = []
    const result = await behind.remex.host('vm01').run('echo up; sleep 1; echo down', {
      durable: true,
      timeout: '20s',
      onNotice: (text) => void notices.push(text),
      onOutput: (_stream, chunk) => (chunk.toString() === 'up\n' ? network.cut() : undefined),
    })
    expect(result).toMatchObject({ exitCode: 0, stdout: 'up\ndown\n', attempts: 2, failures: ['CONNECTION_LOST'] })
    expect(notices).toEqual([expect.stringMatching(/^vm01: the connection broke; attaching to \S+ again at byte 3$/)])
    expect((await behind.records()).at(-1)).toMatchObject({ event: 'finish', exit_code: 0, attempts: 2, attempt_errors: ['CONNECTION_LOST'] })
  })

  it.each([['HOME'], ['XDG_STATE_HOME']])('are refused a variable %s, by which their files are found', async (name) => {
    await expect(host.run('true', { durable: true, env: { [name]: '/tmp' } })).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('say so where the host cannot keep them, and start nothing', async () => {
    const runs = '"${XDG_STATE_HOME:-$HOME/.local/state}/remex/runs"'
    await host.run(`mkdir -p ${runs}; mv ${runs} ${runs}.away; : > ${runs}`)
    const result = await host.run('echo ran > $HOME/ran', { durable: true }).catch((error: unknown) => error)
    await host.run(`rm ${runs}; mv ${runs}.away ${runs}`)
    expect(result).toMatchObject({ code: 'PERMISSION_DENIED', mayHaveRun: false, result: { ended: 'not_started' } })
    expect(await host.run('cat $HOME/ran')).toMatchObject({ success: false })
  })

  it('give what the host keeps, once, when a command writes more than it may', async () => {
    await using fleet = await fleetOf({ vm01: server as OpensshServer }, { settings: { max_run_output_bytes: 100_000 } })
    const text = 'i=0; while [ $i -lt 12 ]; do head -c 100000 /dev/zero | tr "\\0" a; i=$((i+1)); sleep 0.2; done; exit 3'
    const result = await fleet.remex.host('vm01').run(text, { durable: true, timeout: '20s' })
    expect(result).toMatchObject({ exitCode: 3, stdoutBytes: 100_000, stderr: '', outputIncomplete: true })
  })
})
