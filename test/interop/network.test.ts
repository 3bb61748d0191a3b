import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { RemexError } from '../../src/core/errors.ts'
import type { RunResult } from '../../src/core/outcome.ts'
import type { Host } from '../../src/fleet/host.ts'
import { startNetwork, type TestNetwork } from '../../testkit/network.ts'
import { startOpensshServer, type OpensshServer } from '../../testkit/openssh-server.ts'
import { until } from '../../testkit/until.ts'
import { fleetOf } from './fleet-of.ts'

const started = await startOpensshServer()
const server = 'skipped' in started ? undefined : started
const reason = 'skipped' in started ? started.skipped : ''

afterAll(() => server?.close())

interface Scene {
  readonly network: TestNetwork
  readonly host: Host
}

/** A host behind a network of its own. */
async function behindNetwork(work: (scene: Scene) => Promise<void>, settings: Record<string, unknown> = {}): Promise<void> {
  const { address, port, login, privateKey, hostKeys } = server as OpensshServer
  await using network = await startNetwork({ to: { host: address, port } })
  const vms = { vm01: { host_key: hostKeys.map(({ fingerprint }) => fingerprint) } }
  const member = { server: { address, port: network.port, login, privateKey } }
  await using fleet = await fleetOf({ vm01: member }, { vms, settings: { connect_timeout: '20s', ...settings } })
  await work({ network, host: fleet.remex.host('vm01') })
}

/** What a run failed with. */
async function failureOf(run: Promise<RunResult>): Promise<RemexError & { result: RunResult }> {
  const outcome: unknown = await run.catch((error: unknown) => error)
  expect(outcome).toBeInstanceOf(RemexError)
  return outcome as RemexError & { result: RunResult }
}

describe.skipIf(!server)(`a misbehaving network before the machine’s OpenSSH server${reason && ` (skipped: ${reason})`}`, () => {
  it.concurrent('that is cut while output flows gives a lost run, with the output so far', () => behindNetwork(async ({ network, host }) => {
    const onOutput = (): void => network.cut()
    const error = await failureOf(host.run('echo first; sleep 20; echo second', { onOutput, retries: 3 }))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true, name: 'SSHConnectionError' })
    expect(error.result).toMatchObject({ ended: 'lost', stdout: 'first\n', exitCode: null, attempts: 1 })
    expect(network.connections).toBe(1)
    expect(await host.run('echo again')).toMatchObject({ stdout: 'again\n' })
  }))

  it.concurrent('that is cut in the middle of much output loses no byte of what came before', () => behindNetwork(async ({ network, host }) => {
    await host.run('true')
    network.cutAfterBytes(3 << 20, 'toClient')
    const { result } = await failureOf(host.run('i=0; while [ $i -lt 400000 ]; do echo line $i; i=$((i+1)); done'))
    expect(result.stdoutBytes).toBeGreaterThan(1 << 20)
    expect(result.stdoutRaw).toHaveLength(result.stdoutBytes)
    const lines = result.stdout.split('\n').slice(0, -1)
    expect(lines.every((line, index) => line === `line ${index}`)).toBe(true)
  }))

  // sshd tells of the exit when it has happened; a process that holds the output open stands for output that is still under way.
  const EXITS_FIRST = '(while kill -0 $$ 2>/dev/null; do :; done; sleep 0.3; echo late; exec sleep 20) & echo early; exit 3'

  it.concurrent.each(['ssh2', 'openssh'])('that is cut between the exit and the end of the output gives a lost run, which names the exit, by %s', (engine) => behindNetwork(async ({ network, host }) => {
    const onOutput = (_stream: string, chunk: Buffer): void => {
      if (String(chunk).includes('late')) network.cut()
    }
    const error = await failureOf(host.run(EXITS_FIRST, { onOutput, retries: 3 }))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true, message: expect.stringMatching(/broke after the command had ended \(exit status 3\) and before all of its output/) as string, hint: expect.stringContaining('only output is missing') as string })
    expect(error.result).toMatchObject({ ended: 'lost', stdout: 'early\nlate\n', exitCode: null, attempts: 1, success: false })
  }, { engine }))

  it.concurrent.each(['ssh2', 'openssh'])('that is cut at any byte of the answer gives all of the output or a lost run, by %s', (engine) => behindNetwork(async ({ network, host }) => {
    for (let bytes = 30_000; bytes < 53_000; bytes += 800) {
      await host.run('true')
      network.cutAfterBytes(bytes, 'toClient')
      const run = host.run('head -c 25000 /dev/zero; head -c 25000 /dev/zero >&2; exit 7')
      const { ended, exitCode, stdoutBytes, stderrBytes } = await run.catch((error: unknown) => (error as RemexError).result as RunResult)
      if (ended !== 'lost') expect({ bytes, ended, exitCode, stdoutBytes, stderrBytes }).toEqual({ bytes, ended: 'exited', exitCode: 7, stdoutBytes: 25_000, stderrBytes: 25_000 })
      network.cutAfterBytes(Number.MAX_SAFE_INTEGER / 2, 'toClient')
    }
  }, { engine }))

  it.concurrent('that is cut between the exit and the end of the output has an idempotent command run again', () => behindNetwork(async ({ network, host }) => {
    let cuts = 0
    const onOutput = (_stream: string, chunk: Buffer): void => {
      if (String(chunk).includes('late') && cuts++ === 0) network.cut()
    }
    expect(await host.run(EXITS_FIRST, { onOutput, retries: 3, idempotent: true })).toMatchObject({ ended: 'exited', exitCode: 3, attempts: 2, stdout: 'early\nlate\n' })
  }))

  it.concurrent('that stalls is found by keepalive', () => behindNetwork(async ({ network, host }) => {
    await host.run('true')
    const startMs = performance.now()
    const error = await failureOf(host.run('echo up; sleep 25', { onOutput: () => network.stall() }))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true, result: { ended: 'lost', stdout: 'up\n' } })
    expect(performance.now() - startMs).toBeLessThan(10_000)
  }, { keepalive_interval: '500ms' }))

  it.concurrent('that stalls before anything is said is given connect_timeout', () => behindNetwork(async ({ network, host }) => {
    network.stall()
    expect(await failureOf(host.run('true'))).toMatchObject({ code: 'CONNECT_TIMEOUT', mayHaveRun: false, result: { ended: 'not_started' } })
  }, { connect_timeout: '500ms' }))

  it.concurrent('that takes 50 ms each way only takes its time', () => behindNetwork(async ({ network, host }) => {
    network.setLatency(50)
    const result = await host.run('cat', { stdin: 'far away', env: { V: 'x' } })
    expect(result).toMatchObject({ stdout: 'far away', exitCode: 0, attempts: 1 })
    expect(result.executionTime).toBeGreaterThan(0.3)
    expect(await host.run('sleep 25; :', { timeout: '500ms' })).toMatchObject({ ended: 'timed_out', killed: { survivors: [], scope: 'tree' } })
  }))

  it.concurrent('that flips a bit breaks the connection, and no wrong byte is taken', () => behindNetwork(async ({ network, host }) => {
    await host.run('true')
    network.corrupt(100_000)
    const { result, ...error } = await failureOf(host.run('yes 0123456789abcdef | head -c 4000000; sleep 20'))
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    expect(result.stdout).toBe('0123456789abcdef\n'.repeat(250_000).slice(0, result.stdoutBytes))
  }))

  it.concurrent('that flips a bit of a file does not let the file pass', () => behindNetwork(async ({ network, host }) => {
    const made = await host.run('f=$(mktemp) && head -c 3000000 /dev/zero >"$f" && echo "$f"')
    network.corrupt(1_000_000)
    const path = made.stdout.trim()
    const local = `${path}.local`
    const error: unknown = await host.get(path, local).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'CONNECTION_LOST' })
    const receipt = await host.get(path, local)
    expect(receipt).toMatchObject({ verified: true, sha256: createHash('sha256').update(Buffer.alloc(3_000_000)).digest('hex') })
    await Promise.all([rm(local), host.run(['rm', path])])
  }))

  it.concurrent('that cut an idle connection does not fail the next run', () => behindNetwork(async ({ network, host }) => {
    await host.run('true')
    network.cut()
    expect(await host.run('echo next', { retries: 1 })).toMatchObject({ stdout: 'next\n', attempts: 1 })
    expect(network.connections).toBe(2)
  }))

  it.concurrent('that stalled an idle connection for good does not fail the next run', () => behindNetwork(async ({ network, host }) => {
    await host.run('true')
    network.stall()
    const next = host.run('echo next', { retries: 1, timeout: '20s' })
    // Keepalive gives up the old connection; only a new one can follow.
    await until(() => network.connections === 2, { what: 'a new connection', timeoutMs: 15_000 })
    network.resume()
    expect(await next).toMatchObject({ stdout: 'next\n', attempts: 1 })
  }, { keepalive_interval: '300ms' }))

  it.concurrent('that is stalled for good lets a cancel return, and nobody claims to know what still runs', () => behindNetwork(async ({ network, host }) => {
    const cancel = new AbortController()
    const running = host.run('echo up; sleep 25', {
      signal: cancel.signal,
      onOutput: () => {
        network.stall()
        cancel.abort()
      },
    })
    const startMs = performance.now()
    expect(await running).toMatchObject({ ended: 'cancelled', stdout: 'up\n', killed: { ended: 0, survivors: [], scope: 'unknown' } })
    expect(performance.now() - startMs).toBeLessThan(16_000)
  }))

  it.concurrent('that cuts the connection of a cancelled run does not save it: a new one ends it', () => behindNetwork(async ({ network, host }) => {
    const cancel = new AbortController()
    const running = host.run('echo up; sleep 25; :', {
      signal: cancel.signal,
      onOutput: () => {
        cancel.abort()
        network.cutAfterBytes(200, 'toServer')
      },
    })
    expect(await running).toMatchObject({ ended: 'cancelled', killed: { survivors: [], scope: 'tree' } })
    expect(network.connections).toBe(2)
  }))
})
