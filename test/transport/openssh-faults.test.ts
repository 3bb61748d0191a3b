import { once } from 'node:events'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest'
import { findProgram } from '../../testkit/daemon.ts'
import { startOpensshServer, startSshServer, type OpensshServer, type Skipped } from '../../testkit/index.ts'
import { until } from '../../testkit/until.ts'
import { failureOf } from '../failure-of.ts'
import { collect, targetOf } from '../contract/contract-server.ts'
import { openScene } from './openssh-scene.ts'

let server: OpensshServer | Skipped

beforeAll(async () => { server = findProgram('ssh') === undefined ? { skipped: 'ssh is not installed (Debian: openssh-client)' } : await startOpensshServer() })
afterAll(async () => {
  if (!('skipped' in server)) await server.close()
})

function serverOf(context: TestContext): OpensshServer {
  if ('skipped' in server) return context.skip(server.skipped)
  return server
}

const only = (pids: readonly number[]): number => {
  expect(pids).toHaveLength(1)
  return pids[0] ?? 0
}

describe('a master', () => {
  test('that is killed loses its channels and its connection, which says so; the next connection works', async (context) => {
    const target = targetOf(serverOf(context))
    await using scene = await openScene()
    const connection = await scene.engine.connect(target)
    const channel = await connection.exec('echo started; sleep 60')
    await once(channel.stdout, 'readable')
    process.kill(only(scene.processes()), 'SIGKILL')
    expect(await channel.exit).toEqual({ kind: 'lost' })
    await channel.closed
    expect(await connection.closed).toMatchObject({ code: 'CONNECTION_LOST', vmId: 'vm01', message: expect.stringContaining('the ssh that held it ended') })
    expect(await failureOf(connection.exec('true'))).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: false })
    await scene.isClean()
    const next = await scene.engine.connect(target)
    expect(String((await collect(await next.exec('echo again'))).stdout)).toBe('again\n')
    next.close()
    await scene.isClean()
  })

  test('whose directory is removed goes on: commands, subsystems and the end', async (context) => {
    await using scene = await openScene()
    const connection = await scene.engine.connect(targetOf(serverOf(context)))
    const channel = await connection.exec('cat')
    for (const name of await scene.files()) await rm(join(scene.temporary, name), { recursive: true })
    channel.stdin.write('still')
    expect(String((await collect(channel)).stdout)).toBe('still')
    expect(String((await collect(await connection.exec('echo here'))).stdout)).toBe('here\n')
    const sftp = await connection.subsystem('sftp')
    sftp.stdin.write(Buffer.from([0, 0, 0, 5, 1, 0, 0, 0, 3]))
    const [packet] = await sftp.stdout.take(1).toArray() as Buffer[]
    expect(packet?.[4]).toBe(2)
    connection.close()
    expect(await connection.closed).toBeNull()
    await scene.isClean()
  })

  test('is not ended by a subsystem that gets no channel: what runs goes on', async (context) => {
    await using scene = await openScene()
    const connection = await scene.engine.connect(targetOf(serverOf(context)))
    const channels = await Promise.all(Array.from({ length: 10 }, () => connection.exec('cat')))
    for (const _attempt of [1, 2]) expect(await failureOf(connection.subsystem('sftp'))).toMatchObject({ code: 'CHANNEL_REFUSED', mayHaveRun: false })
    for (const channel of channels) channel.stdin.end('on')
    expect(await Promise.all(channels.map(async ({ stdout }) => text(stdout)))).toEqual(channels.map(() => 'on'))
    const sftp = await until(() => connection.subsystem('sftp'), { what: 'a slot to be free again' })
    sftp.close()
    await sftp.closed
    expect(String((await collect(await connection.exec('echo fine'))).stdout)).toBe('fine\n')
    connection.close()
    await scene.isClean()
  })

  test('is one for a connection, in a directory that is ours alone, with nothing secret in it; both go with the connection', async (context) => {
    await using scene = await openScene()
    const connection = await scene.engine.connect(targetOf(serverOf(context)))
    expect(scene.processes()).toHaveLength(1)
    const [name = ''] = await scene.files()
    expect(await readdir(join(scene.temporary, name))).toEqual(['c', expect.stringMatching(/^h[0-9a-f]{18}$/)])
    await collect(await connection.exec('true'))
    connection.close()
    await connection.closed
    expect(await scene.files()).toEqual([])
    await scene.isClean()
  })

  test('ends with a connection that is closed while commands run, and the commands go on', async (context) => {
    await using scene = await openScene()
    const connection = await scene.engine.connect(targetOf(serverOf(context)))
    const channels = await Promise.all([connection.exec('sleep 60'), connection.subsystem('sftp'), connection.exec('cat')])
    connection.close()
    expect(await Promise.all(channels.map(({ exit }) => exit))).toEqual(channels.map(() => ({ kind: 'lost' })))
    await scene.isClean()
  })
})

describe('an attempt that is aborted', () => {
  test('before the server says a word, within the key exchange and within the login leaves no process and no directory', async () => {
    await using scene = await openScene()
    await using slow = await startSshServer({ delayMs: 20_000 })
    const controllers = [new AbortController(), new AbortController()] as const
    const atLogin = failureOf(scene.engine.connect(targetOf(slow), controllers[0].signal))
    await until(() => slow.logins > 0, { what: 'the login' })
    controllers[0].abort()
    expect(await atLogin).toMatchObject({ code: 'CANCELLED', message: expect.stringContaining('while logging in') })
    await scene.isClean()
    const unknown = targetOf(slow, { knownHostKeys: [] })
    const atJudging = failureOf(scene.engine.connect({ ...unknown, verifyHostKey: () => controllers[1].abort() }, controllers[1].signal))
    expect(await atJudging).toMatchObject({ code: 'CANCELLED' })
    await scene.isClean()
  })

  test('at any moment leaves no process and no directory', async (context) => {
    const target = targetOf(serverOf(context))
    await using scene = await openScene()
    const moments = Array.from({ length: 40 }, (_, index) => index * 5)
    const outcomes = await Promise.all(moments.map((ms) => scene.engine.connect(target, AbortSignal.timeout(ms)).then(
      (connection) => (connection.close(), 'connected'), (error: unknown) => (error as { code?: string }).code)))
    expect(new Set([...outcomes, 'connected', 'CANCELLED'])).toEqual(new Set(['connected', 'CANCELLED']))
    await scene.isClean()
  })
})
