import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import type ssh2 from 'ssh2'
import type { Client, ClientChannel } from 'ssh2'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { makeKeyPair } from '../../testkit/keys.ts'
import { startSshServer, type SshServerOptions, type TestSshServer } from '../../testkit/ssh-server.ts'
import { until } from '../../testkit/until.ts'
import { exec, finish, logIn as connectTo, runOn } from './ssh-client.ts'

const run = promisify(execFile)
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(options?: SshServerOptions): Promise<TestSshServer> {
  const server = await startSshServer(options)
  cleanups.push(server.close)
  return server
}

async function logIn(server: TestSshServer, more?: ssh2.ConnectConfig): Promise<Client> {
  const client = await connectTo(server, more)
  cleanups.push(async () => void client.destroy())
  return client
}

/** ssh2's `channel.signal` sends nothing any more once we have sent EOF, so this asks the protocol below it. */
function signalAfterEof(client: Client, channel: ClientChannel): void {
  const protocol: unknown = Reflect.get(client, '_protocol')
  const outgoing: unknown = Reflect.get(channel, 'outgoing')
  if (typeof protocol !== 'object' || protocol === null || typeof outgoing !== 'object' || outgoing === null) throw new Error('another ssh2')
  const signal: unknown = Reflect.get(protocol, 'signal')
  if (typeof signal === 'function') Reflect.apply(signal, protocol, [Reflect.get(outgoing, 'id'), 'TERM'])
}

describe('startSshServer', () => {
  test('runs commands and tells streams, exit status and exit signal apart', async () => {
    const client = await logIn(await start())
    expect(await runOn(client, 'echo out; echo err >&2; exit 7')).toEqual({ stdout: 'out\n', stderr: 'err\n', code: 7, signal: undefined })
    expect(await runOn(client, 'kill -KILL $$')).toEqual({ stdout: '', stderr: '', code: null, signal: 'SIGKILL' })
  })

  test('tells a signal that SSH has no name for as a shell does', async () => {
    const client = await logIn(await start())
    expect(await runOn(client, 'kill -BUS $$')).toMatchObject({ code: 128 + constants.signals.SIGBUS, signal: undefined })
  })

  test('says in stderr and with status 127 that its shell is not there', async () => {
    const client = await logIn(await start({ shell: '/no/such/shell' }))
    expect(await runOn(client, 'true')).toEqual({ stdout: '', stderr: 'spawn /no/such/shell ENOENT\n', code: 127, signal: undefined })
  })

  test('passes the end of standard input on', async () => {
    const client = await logIn(await start())
    expect((await runOn(client, 'cat; echo end', 'some input\n')).stdout).toBe('some input\nend\n')
  })

  test('carries 32 MB in both directions at once, byte for byte', async () => {
    const client = await logIn(await start())
    const data = randomBytes(32 * 1024 * 1024)
    const channel = await exec(client, 'cat')
    channel.end(data)
    const echoed = await buffer(channel)
    expect(createHash('sha256').update(echoed).digest('hex')).toBe(createHash('sha256').update(data).digest('hex'))
  })

  test('keeps stdout and stderr whole when first the one and then the other waits for a client that reads late', async () => {
    const client = await logIn(await start())
    const channel = await exec(client, 'head -c 5000000 /dev/zero | tr "\\0" o; head -c 5000000 /dev/zero | tr "\\0" e >&2')
    channel.end()
    await until(() => channel.readableLength > 2_000_000, { what: 'stdout to fill the window' })
    const stdout = buffer(channel)
    await until(() => channel.stderr.readableLength > 1_000_000, { what: 'stderr to fill the window' })
    const stderr = await buffer(channel.stderr)
    expect(stderr.equals(Buffer.alloc(5_000_000, 'e'))).toBe(true)
    expect((await stdout).equals(Buffer.alloc(5_000_000, 'o'))).toBe(true)
  })

  test('does not read a command that nobody reads from', async () => {
    const server = await start()
    const client = await logIn(server)
    const channel = await exec(client, `i=0; while head -c 1000000 /dev/zero; do i=$((i+1)); echo $i > ${server.home}/progress; done`)
    const readCount = async (): Promise<number> => Number(await readFile(`${server.home}/progress`, 'utf8'))
    await until(async () => (await readCount()) >= 2, { what: 'the first two megabytes' })
    let last = 0
    // It stands still when two looks, 50 ms apart, see the same; a server without backpressure never does.
    await until(async () => last === (last = await readCount()) && last > 0, { what: 'the command to stand still' })
    expect(last).toBeLessThan(16)
    channel.destroy()
  })

  test('honours signal requests for the whole process group', async () => {
    const client = await logIn(await start())
    const channel = await exec(client, 'echo ready; sleep 1000 | sleep 1000')
    await once(channel, 'data')
    channel.signal('TERM')
    expect((await finish(channel)).signal).toBe('SIGTERM')
  })

  test('honours signal requests after the end of standard input', async () => {
    const client = await logIn(await start())
    const channel = await exec(client, 'cat; echo ended; sleep 1000')
    channel.end()
    await once(channel, 'data')
    signalAfterEof(client, channel)
    expect((await finish(channel)).signal).toBe('SIGTERM')
  })

  test('refuses signal requests when told to, as sshd does for root', async () => {
    const client = await logIn(await start({ refuseSignals: true }))
    const channel = await exec(client, 'echo ready; read line; echo "got $line"')
    await once(channel, 'data')
    channel.signal('KILL')
    channel.end('a line\n')
    expect(await finish(channel)).toMatchObject({ stdout: 'got a line\n', code: 0 })
  })

  test('lets a command go on whose client has gone', async () => {
    const server = await start()
    const client = await logIn(server)
    await exec(client, 'cat >/dev/null; sleep 0.1; echo went on > result')
    server.dropAll()
    expect(await until(() => readFile(`${server.home}/result`, 'utf8'), { what: 'the result' })).toBe('went on\n')
  })

  test('kills a command whose client has gone when told to', async () => {
    const server = await start({ killOnDisconnect: true })
    const client = await logIn(server)
    const channel = await exec(client, 'echo $$; sleep 1000')
    const [pid] = await once(channel, 'data')
    server.dropAll()
    await until(async () => !(await isAlive(Number(String(pid)))), { what: 'the end of the command' })
  })

  test('tells the exit status at once, though a descendant still holds the output open', async () => {
    const client = await logIn(await start())
    const channel = await exec(client, 'sleep 1000 & exit 3')
    expect(await once(channel, 'exit')).toEqual([3])
    channel.destroy()
  })

  test('ends everything it started when it is closed, setsid and double forks included', async () => {
    const server = await startSshServer()
    const client = await logIn(server)
    const { stdout } = await runOn(client, '(setsid sh -c "echo \\$\\$; exec sleep 1000 >/dev/null 2>&1 </dev/null" &)')
    const pid = Number(stdout)
    expect(await isAlive(pid)).toBe(true)
    await server.close()
    expect(await isAlive(pid)).toBe(false)
    await expect(access(server.home)).rejects.toThrow(/ENOENT/)
    await expect(once(connect(server.port, server.address), 'connect')).rejects.toThrow(/ECONNREFUSED/)
  })

  test('gives a pty of the size that was asked for', async () => {
    const client = await logIn(await start())
    const channel = await exec(client, 'test -t 0 && test -t 1 && stty size; echo $TERM; exit 4', { pty: { cols: 101, rows: 33, term: 'xterm' } })
    expect(await finish(channel)).toMatchObject({ stdout: '33 101\r\nxterm\r\n', code: 4 })
  })

  test('takes the terminal from a command whose client has gone', async () => {
    const server = await start()
    const client = await logIn(server)
    const channel = await exec(client, 'echo $$; sleep 1000', { pty: true })
    const [pid] = await once(channel, 'data')
    server.dropAll()
    await until(async () => !(await isAlive(Number(String(pid)))), { what: 'the end of the command' })
  })

  test('opens no more sessions than it may, and one more when one has closed', async () => {
    const server = await start({ maxSessions: 2 })
    const client = await logIn(server)
    const first = await exec(client, 'cat')
    await exec(client, 'cat')
    await expect(exec(client, 'true')).rejects.toThrow(/Channel open failure/)
    first.end()
    await finish(first)
    // The client hears of the end a moment before the server has counted it, as with sshd.
    const again = await until(() => runOn(client, 'true').catch(() => undefined), { what: 'the place to be free' })
    expect(again.code).toBe(0)
    expect(server.sessions).toBe(3)
  })

  test('counts connections and remembers each command it was sent', async () => {
    const server = await start()
    const client = await logIn(server)
    await runOn(client, 'echo one')
    await runOn(client, 'echo two')
    expect(server).toMatchObject({ connections: 1, openConnections: 1, execs: ['echo one', 'echo two'] })
    client.end()
    await until(() => server.openConnections === 0, { what: 'the end of the connection' })
    expect(server.connections).toBe(1)
  })

  test('refuses a key that is not listed, a login that is not there, and a password', async () => {
    const alice = makeKeyPair()
    const server = await start({ users: [{ name: 'alice', publicKeys: [alice.publicKey] }] })
    await expect(logIn(server, { username: 'alice', privateKey: makeKeyPair().privateKey })).rejects.toThrow(/authentication methods failed/)
    await expect(logIn(server, { username: 'bob', privateKey: alice.privateKey })).rejects.toThrow(/authentication methods failed/)
    await expect(logIn(server, { username: 'alice', privateKey: undefined, password: 'x' })).rejects.toThrow(/authentication methods failed/)
    await expect(logIn(server, { username: 'alice', privateKey: alice.privateKey })).resolves.toBeDefined()
  })

  test.each([
    ['an RSA key', 'rsa'],
    ['an ECDSA key', 'ecdsa'],
  ] as const)('takes %s for the client and for the host', async (_, kind) => {
    const key = makeKeyPair(kind)
    const server = await start({ users: [{ name: 'alice', publicKeys: [key.publicKey] }], hostKeys: [makeKeyPair(kind).privateKey] })
    const client = await logIn(server, { privateKey: key.privateKey })
    expect((await runOn(client, 'echo $USER')).stdout).toBe('alice\n')
  })

  test('forwards to loopback and to nowhere else', async () => {
    const echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1')
    await once(echo, 'listening')
    cleanups.push(async () => void echo.close())
    const address = echo.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const client = await logIn(await start())
    const forward = (host: string, to: number): Promise<ClientChannel> => new Promise((resolve, reject) =>
      client.forwardOut('127.0.0.1', 1, host, to, (error, channel) => (error ? reject(error) : resolve(channel))))
    const channel = await forward('127.0.0.1', port)
    channel.end('there and back')
    expect(await text(channel)).toBe('there and back')
    await expect(forward('192.0.2.1', 80)).rejects.toThrow(/Channel open failure/)
    await expect(forward('127.0.0.1', 1)).rejects.toThrow(/Channel open failure/)
  })

  test.each([
    ['its port is taken', async (): Promise<SshServerOptions> => ({ port: (await start()).port }), /EADDRINUSE/],
    ['a host key cannot be read', (): SshServerOptions => ({ hostKeys: ['no key'] }), /a host key cannot be read/],
    ['a public key cannot be read', (): SshServerOptions => ({ users: [{ name: 'x', publicKeys: ['no key'] }] }), /not a public key: no key/],
  ])('does not start, and leaves no home behind, when %s', async (_, options, message) => {
    const given = await options()
    const directory = await mkdtemp(join(tmpdir(), 'remex-test-'))
    vi.stubEnv('TMPDIR', directory)
    await expect(startSshServer(given)).rejects.toThrow(message)
    vi.unstubAllEnvs()
    expect(await readdir(directory)).toEqual([])
    await rm(directory, { recursive: true })
  })

  test('listens on no other address than loopback', async () => {
    await expect(startSshServer({ host: '0.0.0.0' })).rejects.toThrow(/0\.0\.0\.0 is not a loopback address/)
  })

  test('is slow to log in and to open sessions when told to', async () => {
    const client = await logIn(await start({ delayMs: 60 }))
    const before = performance.now()
    await runOn(client, 'true')
    expect(performance.now() - before).toBeGreaterThanOrEqual(59)
  })

  test('survives a client that speaks something else', async () => {
    const server = await start()
    const socket = connect(server.port, server.address)
    socket.on('error', () => undefined)
    socket.end('GET / HTTP/1.1\r\n\r\n')
    socket.resume()
    await once(socket, 'close')
    expect((await runOn(await logIn(server), 'echo fine')).stdout).toBe('fine\n')
  })
})

async function isAlive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '')
  return status !== '' && !/^State:\s*Z/m.test(status)
}

describe('startSshServer with the machine’s own ssh', () => {
  let server: TestSshServer
  beforeAll(async () => {
    server = await startSshServer()
    await writeFile(`${server.home}/key`, server.privateKey, { mode: 0o600 })
    await writeFile(`${server.home}/known_hosts`, server.knownHosts)
  })
  afterAll(() => server.close())

  test('is trusted by the known_hosts line that it hands out', async (context) => {
    if (!(await run('ssh', ['-V']).catch(() => undefined))) context.skip('ssh is not installed')
    const options = ['-F', 'none', '-i', `${server.home}/key`, '-o', `UserKnownHostsFile=${server.home}/known_hosts`, '-o', 'BatchMode=yes']
    const { stdout } = await run('ssh', [...options, '-p', String(server.port), `${server.login}@${server.address}`, 'echo hello'])
    expect(stdout).toBe('hello\n')
  })
})
