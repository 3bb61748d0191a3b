import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startSshServer, type TestSshServer } from '../../testkit/index.ts'

const run = promisify(execFile)
let directory: string
let server: TestSshServer

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-process-'))
  await symlink(resolve('node_modules'), join(directory, 'node_modules'))
  await build({
    entryPoints: ['src/transport/ssh2/engine.ts'], outfile: join(directory, 'engine.mjs'),
    bundle: true, platform: 'node', format: 'esm', packages: 'external', logLevel: 'silent',
  })
  server = await startSshServer()
})

afterAll(async () => {
  await server.close()
  await rm(directory, { recursive: true, force: true })
})

/** Runs a script in a process of its own that has `engine` and `target`; fails when it does not end by itself within 15 s. */
async function inProcess(script: string): Promise<string> {
  const { address, port, login } = server
  const target = { vmId: 'vm01', address, port, login, engineReason: 'test', requirePostQuantum: false, knownHostKeys: [], knownFingerprints: [], certAuthorities: [], revokedHostKeys: [], connectTimeoutMs: 10_000, keepaliveIntervalMs: 15_000 }
  const path = join(directory, `script${Math.random()}.mjs`)
  await writeFile(path, `
    import { createRequire } from 'node:module'
    import { ssh2Engine } from './engine.mjs'
    const require = createRequire(import.meta.url)
    const engine = ssh2Engine()
    const data = Buffer.from(${JSON.stringify(server.privateKey)})
    const target = { ...${JSON.stringify(target)}, verifyHostKey: () => {}, identities: [{ kind: 'key', label: 'id', data }] }
    ${script}`)
  const { stdout } = await run(process.execPath, [path], { timeout: 15_000 })
  return stdout
}

test.each([
  ['connects, runs and closes', `
    const connection = await engine.connect(target)
    const channel = await connection.exec('echo hello')
    channel.stdin.end()
    for await (const chunk of channel.stdout) process.stdout.write(chunk)
    connection.close()`, 'hello\n'],
  ['closes with a channel still open', `
    const connection = await engine.connect(target)
    await connection.exec('sleep 60')
    connection.close()
    console.log(await connection.closed)`, 'null\n'],
  ['fails to log in', `
    await engine.connect({ ...target, login: 'nobody' }).catch((error) => console.log(error.code))`, 'AUTH_FAILED\n'],
  ['fails to connect', `
    await engine.connect({ ...target, port: 1 }).catch((error) => console.log(error.code))`, 'UNREACHABLE\n'],
  ['is refused a host key', `
    const verifyHostKey = () => { throw new Error('not ours') }
    await engine.connect({ ...target, verifyHostKey }).catch((error) => console.log(error.code))`, 'INTERNAL\n'],
  ['gives up', `
    await engine.connect(target, AbortSignal.timeout(1)).catch((error) => console.log(error.code))`, 'CANCELLED\n'],
  ['fetches host keys', `
    console.log((await engine.fetchHostKeys(target)).length)`, '1\n'],
])('a process that %s ends by itself', async (_sentence, script, output) => {
  expect(await inProcess(script)).toBe(output)
})

test('a process that only makes the engine does not load ssh2', async () => {
  expect(await inProcess(`console.log(Object.keys(require.cache).filter((path) => path.includes('/ssh2/')).length)`)).toBe('0\n')
})
