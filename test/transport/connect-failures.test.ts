import type { Socket } from 'node:net'
import ssh2 from 'ssh2'
import { afterEach, describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { ConnectTarget } from '../../src/transport/contract.ts'
import { ssh2Engine } from '../../src/transport/ssh2/engine.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { startSshServer, type SshServerOptions } from '../../testkit/ssh-server.ts'
import { targetOf } from '../contract/contract-server.ts'

const engine = ssh2Engine()
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A target that leads to a TCP server which does `behave` with each connection. */
async function misbehaving(behave: (socket: Socket) => void, more: Partial<ConnectTarget> = {}): Promise<ConnectTarget> {
  const server = await listenOnLoopback(behave)
  cleanups.push(server.close)
  const identities = [{ kind: 'key', label: 'id', data: Buffer.from(makeKeyPair().privateKey) }] as const
  return {
    vmId: 'vm01', address: '127.0.0.1', port: server.port, login: 'tester', identities, verifyHostKey: () => undefined,
    engineReason: 'test', requirePostQuantum: false, knownHostKeys: [], knownFingerprints: [], certAuthorities: [], revokedHostKeys: [], connectTimeoutMs: 20_000, keepaliveIntervalMs: Infinity, ...more,
  }
}

async function serverWith(options: SshServerOptions, more: Partial<ConnectTarget> = {}): Promise<ConnectTarget> {
  const server = await startSshServer(options)
  cleanups.push(server.close)
  return targetOf(server, more)
}

const SOON = { connectTimeoutMs: 400 }
const hostKey = makeKeyPair().privateKey

/** An ssh2 server on this socket that answers logins in its own way. */
function loginServer(socket: Socket, onLogin: (context: ssh2.AuthContext) => void): void {
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => {
    connection.on('error', () => undefined)
    connection.on('authentication', onLogin)
  })
  server.injectSocket(socket)
}

type Case = readonly [sentence: string, make: () => Promise<ConnectTarget>, code: ErrorCode, message: RegExp]

const CASES: readonly Case[] = [
  ['nobody listens', async () => {
    const target = await misbehaving(() => undefined)
    await cleanups.pop()?.()
    return target
  }, 'UNREACHABLE', /connection refused/],
  ['there is no such name', () => misbehaving(() => undefined, { address: 'no-such-host.invalid', connectTimeoutMs: 15_000 }),
    'UNREACHABLE', /no such name|DNS/],
  ['nobody listens on any address of the name', async () => ({ ...(await misbehaving(() => undefined)), address: 'localhost', port: 1 }),
    'UNREACHABLE', /connection refused/],
  ['the port is none', () => misbehaving(() => undefined, { port: 70_000 }), 'UNREACHABLE', /no connection/],
  ['the server accepts and says nothing', () => misbehaving(() => undefined, SOON),
    'CONNECT_TIMEOUT', /within 0\.4 s while waiting for the server to name itself/],
  ['the server names itself and says nothing more', () => misbehaving((socket) => socket.write('SSH-2.0-Silent\r\n'), SOON),
    'CONNECT_TIMEOUT', /while exchanging keys/],
  ['the server stalls within the login',
    () => misbehaving((socket) => loginServer(socket, () => undefined), SOON),
    'CONNECT_TIMEOUT', /while logging in/],
  ['the server closes at once', () => misbehaving((socket) => socket.end()), 'THROTTLED', /before its SSH banner/],
  ['the server resets at once', () => misbehaving((socket) => socket.resetAndDestroy()), 'THROTTLED', /before its SSH banner/],
  ['the server is at MaxStartups', () => misbehaving((socket) => socket.end('Exceeded MaxStartups\r\n')),
    'THROTTLED', /Exceeded MaxStartups/],
  ['it is a web server', () => misbehaving((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))),
    'HANDSHAKE_FAILED', /not an SSH server; it says: HTTP\/1\.1 400/],
  ['it talks without end', () => misbehaving((socket) => void socket.write('x\n'.repeat(5000))), 'HANDSHAKE_FAILED', /not an SSH server/],
  ['it speaks SSH 1', () => misbehaving((socket) => void socket.write('SSH-1.5-Old\r\n')), 'HANDSHAKE_FAILED', /no SSH 2\.0/],
  ['the connection breaks within the key exchange', () => misbehaving((socket) => {
    socket.write('SSH-2.0-Breaking\r\n')
    socket.on('data', () => socket.resetAndDestroy())
  }), 'UNREACHABLE', /broke while exchanging keys/],
  ['noise comes in place of a key exchange', () => misbehaving((socket) => void socket.write(`SSH-2.0-Noise\r\n${'\u0000'.repeat(64)}`)),
    'HANDSHAKE_FAILED', /while exchanging keys/],
  ['the server has only old key exchanges', () => serverWith({ algorithms: { kex: ['diffie-hellman-group14-sha1'] } }),
    'HANDSHAKE_FAILED', /no common key exchange algorithm; the server offers: diffie-hellman-group14-sha1/],
  ['the server has only old ciphers', () => serverWith({ algorithms: { cipher: ['aes128-cbc'] } }),
    'HANDSHAKE_FAILED', /no common cipher algorithm; the server offers: aes128-cbc/],
  ['the server has only old MACs', () => serverWith({ algorithms: { cipher: ['aes128-ctr'], hmac: ['hmac-sha1', 'hmac-md5'] } }),
    'HANDSHAKE_FAILED', /no common MAC algorithm; the server offers: hmac-sha1, hmac-md5/],
  ['the server signs with SHA-1 alone',
    () => serverWith({ hostKeys: [makeKeyPair('rsa').privateKey], algorithms: { serverHostKey: ['ssh-rsa'] } }),
    'HANDSHAKE_FAILED', /no common host key algorithm; the server offers: ssh-rsa/],
  ['the host key is RSA of 1024 bits', () => serverWith({ hostKeys: [makeKeyPair('rsa', { bits: 1024 }).privateKey] }),
    'HANDSHAKE_FAILED', /RSA key of 1024 bits/],
  ['the server refuses every key', () => serverWith({ fault: 'rejects-authentication' }),
    'AUTH_FAILED', /tried: id_ed25519_vm01 \(ssh-ed25519\); the server accepts: publickey/],
  ['the server closes within the login', () => serverWith({ fault: 'closes-during-authentication' }),
    'UNREACHABLE', /broke while logging in/],
  ['the server wants a password alone',
    () => misbehaving((socket) => loginServer(socket, (context) => context.reject(['password']))),
    'AUTH_FAILED', /the server accepts: password/],
]

describe('connecting fails, and the error says why, when', () => {
  for (const [sentence, make, code, message] of CASES) {
    test(sentence, async () => {
      const target = await make()
      const expected = { code, vmId: 'vm01', mayHaveRun: false, message: expect.stringMatching(message) as unknown }
      await expect(engine.connect(target)).rejects.toMatchObject(expected)
    })
  }
})

test('a partial success is told as such: the server wants more than a key', async () => {
  const target = await misbehaving((socket) => loginServer(socket, (context) => context.reject(['keyboard-interactive'], true)))
  await expect(engine.connect(target)).rejects.toMatchObject({ code: 'AUTH_FAILED', hint: expect.stringContaining('another proof') })
})

test('the time limit covers a key exchange that stalls over a stream which is not TCP', async () => {
  const outer = await serverWith({})
  const silent = await listenOnLoopback(() => undefined)
  cleanups.push(silent.close)
  const connection = await engine.connect(outer)
  const stream = await connection.forward('127.0.0.1', silent.port)
  await expect(engine.connect({ ...outer, open: () => Promise.resolve(stream), ...SOON })).rejects.toMatchObject({ code: 'CONNECT_TIMEOUT' })
  expect(stream.destroyed).toBe(true)
  await expect(engine.connect({ ...outer, open: () => Promise.resolve(stream) })).rejects.toMatchObject({ code: 'UNREACHABLE' })
  connection.close()
})

test('an attempt that failed leaves no connection behind', async () => {
  const server = await listenOnLoopback((socket) => socket.resume())
  cleanups.push(server.close)
  const target = await misbehaving(() => undefined, { ...SOON, port: server.port })
  await expect(engine.connect(target)).rejects.toMatchObject({ code: 'CONNECT_TIMEOUT' })
  await expect.poll(() => server.open.size).toBe(0)
})

describe('chacha20-poly1305', () => {
  const algorithms = { cipher: ['chacha20-poly1305@openssh.com' as const] }

  test('is used where the server knows strict key exchange', async () => {
    const connection = await engine.connect(await serverWith({ algorithms }))
    expect(connection.info.cipher).toBe('chacha20-poly1305@openssh.com')
    connection.close()
  })

  test('is refused where it does not', async () => {
    const target = await misbehaving((socket) => lenientServer(socket))
    const message: unknown = expect.stringContaining('CVE-2023-48795')
    await expect(engine.connect(target)).rejects.toMatchObject({ code: 'HANDSHAKE_FAILED', message })
  })

  /** ssh2's server adds the marker of strict key exchange to its list by concatenation; here nothing is added. */
  function lenientServer(socket: Socket): void {
    const kex: string[] & { concat: () => string[] } = Object.assign(['curve25519-sha256'], { concat: () => ['curve25519-sha256'] })
    const offered = { ...algorithms, kex: kex as ssh2.KexAlgorithm[] }
    const server = new ssh2.Server({ hostKeys: [hostKey], algorithms: offered }, (connection) => connection.on('error', () => undefined))
    server.injectSocket(socket)
  }
})
