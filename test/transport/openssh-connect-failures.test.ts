import type { Socket } from 'node:net'
import ssh2 from 'ssh2'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../src/core/errors.ts'
import type { ConnectTarget } from '../../src/transport/contract.ts'
import * as faults from '../../testkit/fault-servers.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { startSshServer, type SshServerOptions, type TestSshServer } from '../../testkit/ssh-server.ts'
import { failureOf } from '../failure-of.ts'
import { targetOf } from '../contract/contract-server.ts'
import { openScene, type Scene } from './openssh-scene.ts'

let scene: Scene
const cleanups: (() => Promise<void>)[] = []

beforeAll(async () => { scene = await openScene() })
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => scene[Symbol.asyncDispose]())

const SOON = { connectTimeoutMs: 400 }
/** A busy machine may take longer than that to come to the login. */
const LATER = { connectTimeoutMs: 1500 }
const hostKey = makeKeyPair().privateKey
const clientKey = makeKeyPair().privateKey

/** A target that leads to a TCP server which does `behave` with each connection. */
async function misbehaving(behave: (socket: Socket) => void, more: Partial<ConnectTarget> = {}): Promise<ConnectTarget> {
  const server = await listenOnLoopback(behave)
  cleanups.push(server.close)
  return leadingTo(server.port, more)
}

function leadingTo(port: number, more: Partial<ConnectTarget> = {}): ConnectTarget {
  const host = { address: '127.0.0.1', port, login: 'tester', privateKey: clientKey, hostKeys: [], knownHosts: '', close: async () => undefined, [Symbol.asyncDispose]: async () => undefined }
  return targetOf(host, { verifyHostKey: () => undefined, ...more })
}

/** A target that leads to a server of the kit. */
async function at(starting: Promise<TestSshServer>, more: Partial<ConnectTarget> = {}): Promise<ConnectTarget> {
  const server = await starting
  cleanups.push(server.close)
  return targetOf(server, more)
}

/** A target that leads to something that never becomes a server. */
async function near(starting: Promise<faults.FaultServer>, more: Partial<ConnectTarget> = {}): Promise<ConnectTarget> {
  const server = await starting
  cleanups.push(() => server.close())
  return leadingTo(server.port, more)
}

const serverWith = (options: SshServerOptions): Promise<ConnectTarget> => at(startSshServer(options))

/** An ssh2 server on this socket that answers logins in its own way. */
function loginServer(socket: Socket, onLogin: (context: ssh2.AuthContext) => void): void {
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => {
    connection.on('error', () => undefined)
    connection.on('authentication', onLogin)
  })
  server.injectSocket(socket)
}

type Case = readonly [sentence: string, make: () => Promise<ConnectTarget>, code: ErrorCode, message: RegExp]

/** The codes are those of the other engine; so are most of the words. */
const CASES: readonly Case[] = [
  ['nobody listens', () => near(faults.refusesConnection()), 'UNREACHABLE', /connection refused/],
  ['there is no such name', async () => leadingTo(22, { address: 'no-such-host.invalid', connectTimeoutMs: 15_000 }), 'UNREACHABLE', /no such name|DNS/],
  ['nobody listens on any address of the name', async () => leadingTo(1, { address: 'localhost' }), 'UNREACHABLE', /connection refused/],
  ['the server accepts and says nothing', () => near(faults.silentAfterAccept(), SOON), 'CONNECT_TIMEOUT', /within 0\.4 s while waiting for the server to name itself/],
  ['the server says a part of its name and no more', () => misbehaving((socket) => socket.write('SSH-2.0-'), SOON), 'CONNECT_TIMEOUT', /name itself/],
  ['the server names itself and says nothing more', () => misbehaving((socket) => socket.write('SSH-2.0-Silent\r\n'), LATER), 'CONNECT_TIMEOUT', /while exchanging keys/],
  ['the server stalls within the login', () => misbehaving((socket) => loginServer(socket, () => undefined), LATER), 'CONNECT_TIMEOUT', /while logging in/],
  ['the server closes at once', () => near(faults.closesBeforeBanner()), 'THROTTLED', /before its SSH banner/],
  ['the server resets at once', () => misbehaving((socket) => socket.resetAndDestroy()), 'THROTTLED', /before its SSH banner/],
  ['the server is at MaxStartups', () => misbehaving((socket) => socket.end('Exceeded MaxStartups\r\n')), 'THROTTLED', /saying "Exceeded MaxStartups"/],
  ['the server punishes this address', () => misbehaving((socket) => socket.end('Not allowed at this time\r\n')), 'THROTTLED', /Not allowed at this time/],
  ['it is a web server', () => misbehaving((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))), 'HANDSHAKE_FAILED', /not an SSH server; it says: HTTP\/1\.1 400/],
  ['it sends garbage', () => near(faults.sendsGarbageBanner()), 'HANDSHAKE_FAILED', /vm01/],
  ['it sends noise without a line', () => near(faults.sendsGarbageBanner(Buffer.alloc(100_000, 0xff))), 'HANDSHAKE_FAILED', /not an SSH server/],
  ['it talks without end', () => misbehaving((socket) => void socket.write('x\n'.repeat(5000))), 'HANDSHAKE_FAILED', /not an SSH server/],
  ['it speaks SSH 1', () => misbehaving((socket) => void socket.write('SSH-1.5-Old\r\n')), 'HANDSHAKE_FAILED', /vm01/],
  ['the connection breaks within the key exchange', () => misbehaving((socket) => {
    socket.write('SSH-2.0-Breaking\r\n')
    socket.on('data', () => socket.resetAndDestroy())
  }), 'UNREACHABLE', /broke while exchanging keys/],
  ['the connection ends within the key exchange', () => misbehaving((socket) => {
    socket.write('SSH-2.0-Breaking\r\n')
    socket.once('data', () => socket.end())
  }), 'UNREACHABLE', /broke while exchanging keys/],
  ['noise comes in place of a key exchange', () => misbehaving((socket) => void socket.write(`SSH-2.0-Noise\r\n${'\u0000'.repeat(64)}`)), 'HANDSHAKE_FAILED', /while exchanging keys/],
  ['the server has only what is weak', () => at(faults.offersOnlyWeakAlgorithms()), 'HANDSHAKE_FAILED', /no common .* algorithm; the server offers: /],
  ['the server has only old key exchanges', () => at(faults.offersOnlyWeakAlgorithms('kex')), 'HANDSHAKE_FAILED', /no common key exchange algorithm; the server offers: diffie-hellman-group14-sha1/],
  ['the server has only old ciphers', () => at(faults.offersOnlyWeakAlgorithms('cipher')), 'HANDSHAKE_FAILED', /no common cipher algorithm; the server offers: aes128-cbc/],
  ['the server has only old MACs', () => serverWith({ algorithms: { cipher: ['aes128-ctr'], hmac: ['hmac-sha1', 'hmac-md5'] } }), 'HANDSHAKE_FAILED', /no common MAC algorithm; the server offers: hmac-sha1, hmac-md5/],
  ['the server signs with SHA-1 alone', () => at(faults.offersOnlyWeakAlgorithms('serverHostKey')), 'HANDSHAKE_FAILED', /no common host key algorithm; the server offers: ssh-rsa/],
  ['the host key is RSA of 1024 bits', () => at(faults.rsa1024HostKey()), 'HANDSHAKE_FAILED', /its host key is not allowed: /],
  ['the host key is RSA of 1024 bits, and was not known', () => at(faults.rsa1024HostKey(), { knownHostKeys: [] }), 'HANDSHAKE_FAILED', /its host key is not allowed: /],
  ['the server refuses every key', () => at(faults.rejectsAuthentication()), 'AUTH_FAILED', /tried: id_ed25519_vm01 \(ssh-ed25519\); the server accepts: publickey/],
  ['the server closes within the login', () => at(faults.closesDuringAuthentication()), 'UNREACHABLE', /broke while logging in/],
  ['the server wants a password alone', () => misbehaving((socket) => loginServer(socket, (context) => context.reject(['password']))), 'AUTH_FAILED', /the server accepts: password/],
]

describe('connecting by ssh fails, and the error says why, when', () => {
  test.each(CASES)('%s', async (_sentence, make, code, message) => {
    const target = await make()
    const error = await failureOf(scene.engine.connect(target))
    expect(error).toMatchObject({ code, vmId: 'vm01', mayHaveRun: false, message: expect.stringMatching(message) })
    expect(error.message).toContain(`vm01 (${target.address}:${target.port}): `)
    await scene.isClean()
  })
})

describe('a server', () => {
  test('that talks before its banner, as the protocol lets it, is talked to', async () => {
    const target = await misbehaving((socket) => {
      socket.write('welcome to this host\r\nusage is watched\r\n')
      loginServer(socket, (context) => context.accept())
    })
    const connection = await scene.engine.connect(target)
    expect(connection.info.serverVersion).toMatch(/^SSH-2\.0-/)
    connection.close()
    await scene.isClean()
  })

  test('that ends the connection as soon as we are in loses it, or keeps us out; nothing has run', async () => {
    const target = await misbehaving((socket) => loginServer(socket, (context) => {
      context.accept()
      socket.end()
    }))
    const error = await scene.engine.connect(target).then((connection) => connection.closed, (failure: unknown) => failure)
    expect(error).toMatchObject({ code: expect.stringMatching(/^(UNREACHABLE|CONNECTION_LOST)$/), vmId: 'vm01', mayHaveRun: false })
    await scene.isClean()
  })

  test('that accepts a key and wants more is told as such', async () => {
    const target = await misbehaving((socket) => loginServer(socket, (context) => context.reject(['keyboard-interactive'], true)))
    expect(await failureOf(scene.engine.connect(target))).toMatchObject({ code: 'AUTH_FAILED', hint: expect.stringContaining('another proof') })
  })

  test('that takes no login is told as such to all who come at once: what ssh says last may be here after its end', async () => {
    await using server = await faults.rejectsAuthentication()
    const errors = await Promise.all(Array.from({ length: 40 }, () => failureOf(scene.engine.connect(targetOf(server)))))
    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['AUTH_FAILED']))
    await scene.isClean()
  })

  test('that takes no login is asked once', async () => {
    await using server = await faults.rejectsAuthentication()
    await failureOf(scene.engine.connect(targetOf(server)))
    expect(server.connections).toBe(1)
  })

  test('whose key is not trusted gets no key of ours: at most the name of the login, and the question which ways there are', async () => {
    const methods: string[] = []
    const refusal = new Error('changed')
    const target = await misbehaving((socket) => loginServer(socket, (context) => {
      methods.push(context.method)
      context.reject(['publickey'])
    }), { verifyHostKey: () => { throw refusal } })
    await expect(scene.engine.connect(target)).rejects.toBe(refusal)
    // ssh is ended as soon as it has told the key, which may be a moment after it has asked.
    expect(methods.filter((method) => method !== 'none')).toEqual([])
    await scene.isClean()
  })
})

test('a host that has keys of all types tells them all, and is asked for no more', async () => {
  const keys = [makeKeyPair(), makeKeyPair('rsa'), ...[256, 384, 521].map((bits) => makeKeyPair('ecdsa', { bits }))]
  await using server = await startSshServer({ hostKeys: keys.map(({ privateKey }) => privateKey) })
  const found = await scene.engine.fetchHostKeys(targetOf(server))
  expect(found.map(({ type }) => type).toSorted()).toEqual(server.hostKeys.map(({ type }) => type).toSorted())
  await scene.isClean()
})

test('a port that there is not is refused before anything is sent', async () => {
  // The other engine says UNREACHABLE; no configuration lets such a port through.
  expect(await failureOf(scene.engine.connect(leadingTo(70_000)))).toMatchObject({ code: 'USAGE', mayHaveRun: false })
  await scene.isClean()
})

describe('a server that drops the connection', () => {
  test.each<[string, () => Promise<TestSshServer>]>([
    ['in place of an answer to a command may have run it', faults.dropsBeforeExecReply],
    ['when a command has begun has run it', faults.dropsAfterExecStarted],
  ])('%s', async (_when, start) => {
    await using server = await start()
    const connection = await scene.engine.connect(targetOf(server))
    const outcome = await connection.exec('echo up').then((channel) => channel.exit, (error: unknown) => error)
    expect(outcome).toMatchObject(outcome instanceof Error ? { code: 'CONNECTION_LOST', mayHaveRun: true } : { kind: 'lost' })
    expect(await connection.closed).toMatchObject({ code: 'CONNECTION_LOST', vmId: 'vm01', message: expect.stringMatching(/broke|closed the connection/) })
    expect(server.execs).toHaveLength(1)
    await scene.isClean()
  })

  test('never, but answers to no command, leaves the command to who waits: closing the connection ends it', async () => {
    await using server = await faults.neverReplies()
    const connection = await scene.engine.connect(targetOf(server))
    const failing = failureOf(connection.exec('echo up'))
    await expect.poll(() => server.execs.length).toBe(1)
    connection.close()
    expect(await failing).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    await scene.isClean()
  })
})
