import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { uint32 } from '../../src/core/ssh-wire.ts'
import type { ConnectTarget } from '../../src/transport/contract.ts'
import { MESSAGE } from '../../src/transport/openssh/mux/messages.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { publicHostKey } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { listenOnSocket } from './mux-listener.ts'
import { Puppet, type PuppetOptions } from './mux-puppet.ts'
import { fakeSsh, logsIn } from './openssh-fake.ts'
import { openScene, type Scene } from './openssh-scene.ts'

const client = makeKeyPair()
const hostKey = publicHostKey(makeKeyPair().privateKey)
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A host that somebody else reaches: an ssh that logs in at once, and whose master is at `socketPath`. */
async function reached(socketPath: string, more: Partial<ConnectTarget> = {}): Promise<{ scene: Scene; target: ConnectTarget }> {
  const ssh = await fakeSsh({ connecting: logsIn(hostKey, socketPath) })
  const scene = await openScene({ path: ssh.path })
  const server = await listenOnLoopback((socket) => socket.resume())
  cleanups.push(() => ssh[Symbol.asyncDispose](), () => scene[Symbol.asyncDispose](), () => server.close())
  return {
    scene,
    target: {
      vmId: 'vm01', address: '127.0.0.1', port: server.port, login: 'tester', engineReason: 'test', verifyHostKey: () => undefined,
      identities: [{ kind: 'key', label: 'id', data: Buffer.from(client.privateKey) }],
      knownHostKeys: [hostKey], knownFingerprints: [], certAuthorities: [], revokedHostKeys: [],
      requirePostQuantum: false, connectTimeoutMs: 20_000, keepaliveIntervalMs: Infinity, ...more,
    },
  }
}

async function puppetThat(options: PuppetOptions = {}): Promise<Puppet> {
  const puppet = await Puppet.start(options)
  cleanups.push(() => puppet.close())
  return puppet
}

/** A process that passes for a master, and may be killed. */
function dummy(): ChildProcess {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  cleanups.push(() => child.kill('SIGKILL'))
  return child
}

describe('a master', () => {
  test('is told to end when its connection is closed, and leaves nothing behind', async () => {
    const child = dummy()
    const puppet = await puppetThat({ pid: child.pid ?? 0 })
    const { scene, target } = await reached(puppet.path)
    const connection = await scene.engine.connect(target)
    expect(connection.info).toMatchObject({ engine: 'openssh', serverVersion: 'SSH-2.0-Puppet_1', kex: 'curve25519-sha256', postQuantum: 'none' })
    const ended = once(child, 'exit')
    connection.close()
    expect(await ended).toEqual([null, 'SIGTERM'])
    expect(await connection.closed).toBeNull()
    await scene.isClean()
  })

  test('that has gone is not told to end: its number may be another process by now', async () => {
    const child = dummy()
    const puppet = await puppetThat({ pid: child.pid ?? 0 })
    const { scene, target } = await reached(puppet.path)
    const connection = await scene.engine.connect(target)
    puppet.far().socket.destroy()
    await connection.closed
    connection.close()
    expect([child.exitCode, child.signalCode]).toEqual([null, null])
    await scene.isClean()
  })

  test('whose connection has ended is told to end as long as a subsystem has a line to it', async () => {
    const child = dummy()
    const puppet = await puppetThat({ pid: child.pid ?? 0 })
    const { scene, target } = await reached(puppet.path)
    const connection = await scene.engine.connect(target)
    const starting = connection.subsystem('sftp')
    const far = await until(() => puppet.lines[1], { what: 'its line' })
    const number = await far.confirm()
    await far.came(MESSAGE.request)
    far.send(MESSAGE.success, uint32(number))
    const channel = await starting
    const ended = once(child, 'exit')
    puppet.far(0).socket.destroy()
    await ended
    expect(await channel.exit).toEqual({ kind: 'lost' })
  })

  test('that never answers takes no longer than the attempt may, and is let go of', async () => {
    const puppet = await puppetThat({ proxy: 'silent' })
    const { scene, target } = await reached(puppet.path, { connectTimeoutMs: 800 })
    expect(await failureOf(scene.engine.connect(target))).toMatchObject({ code: 'CONNECT_TIMEOUT', mayHaveRun: false, message: expect.stringContaining('within 0.8 s while logging in') })
    await until(() => puppet.far().socket.closed, { what: 'our line to it to end' })
    await scene.isClean()
  })

  test('that answers when nobody waits any more is let go of', async () => {
    const puppet = await puppetThat({ proxy: 'silent' })
    const { scene, target } = await reached(puppet.path)
    const controller = new AbortController()
    const failing = failureOf(scene.engine.connect(target, controller.signal))
    const far = await until(() => puppet.lines[0], { what: 'our line to it' })
    controller.abort()
    expect(await failing).toMatchObject({ code: 'CANCELLED' })
    await until(() => far.socket.closed, { what: 'our line to it to end' })
    await scene.isClean()
  })

  test.each<[string, PuppetOptions]>([
    ['of another version', { version: 5 }],
    ['that passes no packets on', { proxy: 'refused' }],
  ])('%s is an error of the attempt', async (_which, options) => {
    const puppet = await puppetThat(options)
    const { scene, target } = await reached(puppet.path)
    expect(await failureOf(scene.engine.connect(target))).toMatchObject({ code: 'HANDSHAKE_FAILED', vmId: 'vm01', mayHaveRun: false })
    await scene.isClean()
  })

  test('that is gone again by the time we come is a connection that broke within the login', async () => {
    const listener = await listenOnSocket((socket) => socket.destroy())
    cleanups.push(() => listener.close())
    const there = await reached(listener.path)
    expect(await failureOf(there.scene.engine.connect(there.target))).toMatchObject({ code: 'UNREACHABLE', vmId: 'vm01', mayHaveRun: false })
    await there.scene.isClean()
    const empty = await mkdtemp(join(tmpdir(), 'empty-'))
    cleanups.push(() => rm(empty, { recursive: true }))
    const gone = await reached(join(empty, 'c'))
    expect(await failureOf(gone.scene.engine.connect(gone.target))).toMatchObject({ code: 'UNREACHABLE', vmId: 'vm01', mayHaveRun: false })
    await gone.scene.isClean()
  })
})
