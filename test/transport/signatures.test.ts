import ssh2, { type AuthContext, type Connection } from 'ssh2'
import { afterEach, describe, expect, test } from 'vitest'
import { ssh2Engine } from '../../src/transport/ssh2/engine.ts'
import { makeKeyPair } from '../../testkit/keys.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { startOpensshServer } from '../../testkit/index.ts'
import { targetOf } from '../contract/contract-server.ts'

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const rsa = makeKeyPair('rsa')
const hostKey = makeKeyPair().privateKey

/** A server that does not tell which signatures it takes (no `server-sig-algs`), and notes what it is offered. */
async function secretiveServer(accepted: string): Promise<{ port: number; hashes: string[] }> {
  const hashes: string[] = []
  const server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => {
    connection.on('error', () => undefined)
    keepQuiet(connection)
    connection.on('authentication', (context) => {
      const hash = hashOf(context)
      hashes.push(hash)
      if (hash === accepted) context.accept()
      else context.reject(['publickey'])
    })
  })
  const listener = await listenOnLoopback((socket) => server.injectSocket(socket))
  cleanups.push(listener.close)
  return { port: listener.port, hashes }
}

/** ssh2's server answers a client that wants to know; here it never hears that one does. */
function keepQuiet(connection: Connection): void {
  const protocol: unknown = Reflect.get(connection, '_protocol')
  if (typeof protocol !== 'object' || protocol === null) throw new Error('another ssh2')
  const state: { kex: unknown } = { kex: undefined }
  Object.defineProperty(protocol, '_kex', {
    get: () => state.kex,
    set: (kex: unknown) => {
      state.kex = kex
      if (typeof kex !== 'object' || kex === null) return
      Object.defineProperty(kex, 'remoteExtInfoEnabled', { get: () => false, set: () => undefined })
    },
  })
}

/** ssh2's server gives the hash of a SHA-2 signature; none stands for SHA-1. */
function hashOf(context: AuthContext): string {
  return context.method === 'publickey' ? (context.hashAlgo ?? 'sha1') : context.method
}

const target = (port: number) => ({
  ...targetOf({
    address: '127.0.0.1', port, login: 'tester', privateKey: rsa.privateKey, hostKeys: [], knownHosts: '',
    close: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve(),
  }),
  verifyHostKey: () => undefined,
})

describe('an RSA key', () => {
  test('signs with SHA-256 where the server does not say what it takes', async () => {
    const { port, hashes } = await secretiveServer('sha256')
    const connection = await ssh2Engine().connect(target(port))
    connection.close()
    expect(new Set(hashes)).toEqual(new Set(['sha256']))
  })

  test('never signs with SHA-1, not even for a server that takes nothing else', async () => {
    const { port, hashes } = await secretiveServer('sha1')
    await expect(ssh2Engine().connect(target(port))).rejects.toMatchObject({ code: 'AUTH_FAILED' })
    expect(hashes.filter((hash) => hash !== 'none')).toEqual(['sha256', 'sha512'])
  })

  test('would sign with SHA-1 there if it were left to ssh2', async () => {
    const { port, hashes } = await secretiveServer('sha1')
    const client = new ssh2.Client()
    const loggedIn = new Promise((resolve, reject) => client.on('ready', () => resolve(undefined)).on('error', reject))
    client.connect({ host: '127.0.0.1', port, username: 'tester', privateKey: rsa.privateKey })
    await loggedIn
    client.destroy()
    expect(hashes).toContain('sha1')
  })

  test.each(['rsa-sha2-256', 'rsa-sha2-512'])('logs in to an sshd that takes %s alone', async (algorithm) => {
    const server = await startOpensshServer({ authorizedKeys: [rsa.publicKey], config: [`PubkeyAcceptedAlgorithms ${algorithm}`] })
    if ('skipped' in server) return
    cleanups.push(server.close)
    const identities = [{ kind: 'key', label: 'rsa', data: Buffer.from(rsa.privateKey) }] as const
    const connection = await ssh2Engine().connect(targetOf(server, { identities }))
    connection.close()
    expect(await connection.closed).toBeNull()
  })
})
