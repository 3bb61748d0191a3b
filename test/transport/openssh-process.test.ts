import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { findProcesses, endProcesses } from '../../testkit/processes.ts'
import { startSshServer, type TestSshServer } from '../../testkit/index.ts'
import { until } from '../../testkit/until.ts'

const run = promisify(execFile)
let directory: string
let server: TestSshServer
/** Of one test: the home of its processes, and their directory for temporary files. */
let home: string
let temporary: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-process-'))
  await symlink(resolve('node_modules'), join(directory, 'node_modules'))
  await build({
    entryPoints: ['src/transport/openssh/engine.ts'], outfile: join(directory, 'engine.mjs'),
    bundle: true, platform: 'node', format: 'esm', packages: 'external', logLevel: 'silent',
  })
  server = await startSshServer()
})

afterAll(async () => {
  await server.close()
  await rm(directory, { recursive: true, force: true })
})

beforeEach(async ({ onTestFinished }) => {
  [home, temporary] = await Promise.all(['h', 't'].map((name) => mkdtemp(join(directory, name)))) as [string, string]
  onTestFinished(() => endProcesses({ marker: `HOME=${home}` }))
})

/** A script for a process of its own that has `engine` and `target`, and the environment that it is to be run in. */
async function scriptOf(script: string): Promise<{ path: string; env: NodeJS.ProcessEnv }> {
  const { address, port, login, hostKeys } = server
  const target = { vmId: 'vm01', address, port, login, engineReason: 'test', requirePostQuantum: false, knownFingerprints: [], certAuthorities: [], revokedHostKeys: [], connectTimeoutMs: 10_000, keepaliveIntervalMs: 15_000 }
  const known = hostKeys.map(({ type, blob }) => ({ type, blob: blob.toString('base64') }))
  const path = join(directory, `script${Math.random()}.mjs`)
  await writeFile(path, `
    import { opensshEngine } from './engine.mjs'
    const engine = opensshEngine(process.env)
    const data = Buffer.from(${JSON.stringify(server.privateKey)})
    const knownHostKeys = ${JSON.stringify(known)}.map(({ type, blob }) => ({ type, blob: Buffer.from(blob, 'base64') }))
    const target = { ...${JSON.stringify(target)}, knownHostKeys, verifyHostKey: () => {}, identities: [{ kind: 'key', label: 'id', data }] }
    ${script}`)
  return { path, env: { ...process.env, HOME: home, TMPDIR: temporary } }
}

/** What it prints; fails when it does not end by itself within 15 s. */
async function outputOf(script: string): Promise<string> {
  const { path, env } = await scriptOf(script)
  return (await run(process.execPath, [path], { timeout: 15_000, env })).stdout
}

const isClean = (): Promise<unknown> => until(async () => findProcesses({ marker: `HOME=${home}` }).length === 0 && (await readdir(temporary)).length === 0, { what: 'nothing to be left', timeoutMs: 5000 })

test.each([
  ['connects, runs and closes', `
    const connection = await engine.connect(target)
    const channel = await connection.exec('echo hello')
    channel.stdin.end()
    for await (const chunk of channel.stdout) process.stdout.write(chunk)
    connection.close()`, 'hello\n'],
  ['closes with a channel and a subsystem still open', `
    const connection = await engine.connect(target)
    await connection.exec('sleep 60')
    await connection.subsystem('sftp')
    connection.close()
    console.log(await connection.closed)`, 'null\n'],
  ['fails to log in', `
    await engine.connect({ ...target, login: 'nobody' }).catch((error) => console.log(error.code))`, 'AUTH_FAILED\n'],
  ['fails to connect', `
    await engine.connect({ ...target, port: 1 }).catch((error) => console.log(error.code))`, 'UNREACHABLE\n'],
  ['is refused a host key', `
    const verifyHostKey = () => { throw new Error('not ours') }
    await engine.connect({ ...target, verifyHostKey }).catch((error) => console.log(error.message))`, 'not ours\n'],
  ['gives up', `
    await engine.connect(target, AbortSignal.timeout(1)).catch((error) => console.log(error.code))`, 'CANCELLED\n'],
  ['asks what the server accepts', `
    console.log(await engine.loginMethods(target))`, "[ 'publickey' ]\n"],
  ['fetches host keys', `
    console.log((await engine.fetchHostKeys(target)).length)`, '1\n'],
])('a process that %s by ssh ends by itself and leaves nothing behind', async (_sentence, script, output) => {
  expect(await outputOf(script)).toBe(output)
  await isClean()
})

describe('a process that is killed', () => {
  const connected = `
    const connection = await engine.connect(target)
    const channel = await connection.exec('cat')
    console.log('connected')`

  /** Starts it, and waits for its first line. */
  async function started(script: string): Promise<{ child: ChildProcess; master: number }> {
    const { path, env } = await scriptOf(script)
    const child = spawn(process.execPath, [path], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    const [master = 0, ...others] = findProcesses({ marker: `HOME=${home}` }).filter((pid) => pid !== child.pid)
    expect(others).toEqual([])
    return { child, master }
  }

  test.each([
    ['while a command runs', connected],
    ['while nothing runs', `${connected}
      channel.close()
      setInterval(() => undefined, 1000)`],
    ['while files pass', `${connected}
      await connection.subsystem('sftp')`],
  ])('%s takes its master with it within 5 s', async (_when, script) => {
    const { child, master } = await started(script)
    expect(master).toBeGreaterThan(1)
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    await until(() => !findProcesses({ roots: [master] }).includes(master), { what: 'the master to end', timeoutMs: 5000 })
  })
})
