import { execFile, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ssh2 from 'ssh2'
import { afterEach, describe, expect, test } from 'vitest'
import type { Identity } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { ssh2Engine } from '../../src/transport/ssh2/engine.ts'
import { loadSsh2 } from '../../src/transport/ssh2/load.ts'
import { prepareOffers } from '../../src/transport/ssh2/offers.ts'
import { makeKeyPair, type KeyPair } from '../../testkit/keys.ts'
import { listenOnLoopback } from '../../testkit/loopback.ts'
import { startOpensshServer } from '../../testkit/index.ts'
import { until } from '../../testkit/until.ts'
import { targetOf } from '../contract/contract-server.ts'

const run = promisify(execFile)
const engine = ssh2Engine()
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function keyOf(data: string | Buffer, passphrase?: string): Identity {
  const secret = passphrase === undefined ? {} : { passphrase: new Secret(passphrase) }
  return { kind: 'key', label: 'id_test', data: Buffer.from(data), ...secret }
}

/** The algorithms and keys that would be offered, in order. */
async function offersFor(...identities: readonly Identity[]): Promise<readonly string[]> {
  const { list } = await prepareOffers(await loadSsh2(), { vmId: 'vm01', login: 'tester', identities })
  return list.map(({ label }) => label)
}

const encrypted = makeKeyPair('ed25519', { passphrase: 'correct horse' }).privateKey
const pkcs8 = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })

describe('a key file', () => {
  test.each([
    ['that is encrypted, without its passphrase', keyOf(encrypted), /id_test: it is encrypted, and no passphrase was given/],
    ['with a wrong passphrase', keyOf(encrypted, 'battery staple'), /id_test: wrong passphrase/],
    ['of an old format with a wrong passphrase', keyOf(oldPem('secret'), 'wrong'), /id_test: wrong passphrase|id_test: not a key/],
    ['that is empty', keyOf(''), /id_test: not a key that can be read/],
    ['that is no key', keyOf('hello\n'), /id_test: not a key that can be read/],
    ['that is cut off', keyOf(makeKeyPair().privateKey.slice(0, 200)), /id_test: not a key that can be read/],
    ['of a format that ssh2 does not read', keyOf(pkcs8), /id_test: not a key that can be read/],
    ['that is a public key', keyOf(makeKeyPair().publicKey), /id_test: it is a public key/],
    ['that is RSA of 1024 bits', keyOf(makeKeyPair('rsa', { bits: 1024 }).privateKey), /id_test: an RSA key of 1024 bits/],
  ])('%s is unusable, before anything is sent', async (_sentence, identity, message) => {
    const server = await listenOnLoopback((socket) => void socket.on('data', () => received.push('data')))
    cleanups.push(server.close)
    const received: string[] = []
    const target = targetOf({ ...fakeHost, port: server.port }, { identities: [identity] })
    const expected = { code: 'KEY_UNUSABLE', vmId: 'vm01', message: expect.stringMatching(message) as unknown }
    await expect(engine.connect(target)).rejects.toMatchObject(expected)
    expect(received).toEqual([])
  })

  test('never shows its passphrase or content when it is unusable', async () => {
    const error: unknown = await offersFor(keyOf(encrypted, 'battery staple')).catch((reason: unknown) => reason)
    const shown = JSON.stringify(error) + String(error) + String(error instanceof Error && error.stack)
    expect(shown).not.toContain('battery staple')
    expect(shown).not.toContain(encrypted.split('\n')[1])
  })

  test('opens with its passphrase', async () => {
    expect(await offersFor(keyOf(encrypted, 'correct horse'))).toEqual(['id_test (ssh-ed25519)'])
  })

  test('is missing altogether: that is said', async () => {
    await expect(offersFor()).rejects.toMatchObject({ code: 'KEY_NOT_FOUND', vmId: 'vm01' })
  })
})

describe('offers', () => {
  test('come in the order of the identities, RSA with SHA-256 in its turn and with SHA-512 at the end', async () => {
    const [rsa, ed25519] = [keyOf(makeKeyPair('rsa').privateKey), keyOf(makeKeyPair().privateKey)]
    expect(await offersFor(rsa, ed25519)).toEqual(['id_test (rsa-sha2-256)', 'id_test (ssh-ed25519)', 'id_test (rsa-sha2-512)'])
  })

  test('are made once for a key that is there twice, and at most six times', async () => {
    const key = keyOf(makeKeyPair().privateKey)
    expect(await offersFor(key, key)).toHaveLength(1)
    expect(await offersFor(...Array.from({ length: 9 }, () => keyOf(makeKeyPair().privateKey)))).toHaveLength(6)
  })
})

describe('an agent', () => {
  test.each(['ed25519', 'ecdsa', 'rsa'] as const)('logs in with the %s key that it has', async (kind) => {
    const key = makeKeyPair(kind)
    const agent = await startAgent([makeKeyPair(), key])
    const server = await startOpensshServer({ authorizedKeys: [key.publicKey] })
    if ('skipped' in server || agent === undefined) return
    cleanups.push(server.close)
    const connection = await engine.connect(targetOf(server, { identities: [agent] }))
    connection.close()
    expect(await connection.closed).toBeNull()
    expect(await server.log()).toContain('Accepted publickey')
  })

  test('with too many keys is told of MaxAuthTries when the server loses patience', async () => {
    const agent = await startAgent(Array.from({ length: 4 }, () => makeKeyPair()))
    const server = await startOpensshServer({ config: ['MaxAuthTries 2'] })
    if ('skipped' in server || agent === undefined) return
    cleanups.push(server.close)
    const attempt = engine.connect(targetOf(server, { identities: [agent] }))
    const [hint, message]: unknown[] = [expect.stringContaining('identity_file'), expect.stringContaining('Too many')]
    await expect(attempt).rejects.toMatchObject({ code: 'AUTH_FAILED', hint, message })
  })

  test('whose keys are not known is told with what the server accepts', async () => {
    const agent = await startAgent([makeKeyPair()])
    const server = await startOpensshServer()
    if ('skipped' in server || agent === undefined) return
    cleanups.push(server.close)
    const attempt = engine.connect(targetOf(server, { identities: [agent] }))
    const message: unknown = expect.stringMatching(/agent key testkit .*the server accepts: publickey/)
    await expect(attempt).rejects.toMatchObject({ code: 'AUTH_FAILED', message })
  })

  test('that is not there makes the login impossible when it is alone, and is passed over when it is not', async () => {
    const agent: Identity = { kind: 'agent', socketPath: '/nonexistent/agent.sock' }
    const message: unknown = expect.stringContaining('/nonexistent/agent.sock')
    await expect(offersFor(agent)).rejects.toMatchObject({ code: 'KEY_UNUSABLE', message })
    expect(await offersFor(agent, keyOf(makeKeyPair().privateKey))).toEqual(['id_test (ssh-ed25519)'])
  })

  test('without keys, or with weak ones alone, is unusable', async () => {
    const empty = await startAgent([])
    const weak = await startAgent([makeKeyPair('rsa', { bits: 1024 })])
    if (empty === undefined || weak === undefined) return
    await expect(offersFor(empty)).rejects.toThrow(/no key that can be used/)
    await expect(offersFor(weak)).rejects.toThrow(/too weak/)
    await expect(offersFor(weak)).rejects.toMatchObject({ code: 'KEY_UNUSABLE' })
  })
})

const fakeHost = {
  address: '127.0.0.1', login: 'tester', privateKey: '', hostKeys: [], knownHosts: '',
  close: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve(),
}

function oldPem(passphrase: string): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return privateKey.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-128-cbc', passphrase }).toString()
}

/** A real ssh-agent with these keys; undefined where there is none. */
async function startAgent(keys: readonly KeyPair[]): Promise<Identity | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'remex-agent-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))
  const socketPath = join(directory, 'agent.sock')
  const agent = spawn('ssh-agent', ['-D', '-a', socketPath], { stdio: 'ignore' })
  const failed = once(agent, 'error').then(() => true, () => false)
  cleanups.push(() => agent.kill())
  const asked = new ssh2.OpenSSHAgent(socketPath)
  const answers = (): Promise<boolean> => new Promise((resolve) => asked.getIdentities((error) => resolve(!error)))
  const ready = until(answers, { what: 'ssh-agent' })
  if (await Promise.race([failed, ready.then(() => false)])) return undefined
  for (const [index, { privateKey }] of keys.entries()) {
    const path = join(directory, `key${index}`)
    await writeFile(path, privateKey)
    await chmod(path, 0o600)
    await run('ssh-add', ['-q', path], { env: { ...process.env, SSH_AUTH_SOCK: socketPath } })
  }
  return { kind: 'agent', socketPath }
}
