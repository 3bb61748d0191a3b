import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test, type TestContext } from 'vitest'
import { parseHostKey } from '../../src/core/host-key.ts'
import type { Identity, PrivateKey } from '../../src/core/identity.ts'
import { sshString } from '../../src/core/ssh-wire.ts'
import { Secret } from '../../src/core/secret.ts'
import { encodeIdentities, framed } from '../../src/transport/openssh/agent-protocol.ts'
import { collectKeys } from '../../src/transport/openssh/offered-keys.ts'
import { startSecurityKeyAgent } from '../../testkit/index.ts'
import { makeKeyPair, type KeyPair } from '../../testkit/keys.ts'
import { startAgent } from '../../testkit/ssh-agent.ts'
import { until } from '../../testkit/until.ts'

const run = promisify(execFile)
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const collect = (...identities: readonly Identity[]): ReturnType<typeof collectKeys> => collectKeys({ vmId: 'vm01', identities })
const blobOf = ({ publicKey }: Pick<KeyPair, 'publicKey'>): Buffer | undefined => parseHostKey(publicKey)?.blob

function keyOf(data: string | Buffer, more: Partial<PrivateKey> & { readonly secret?: string } = {}): PrivateKey {
  const { secret, ...rest } = more
  return { kind: 'key', label: 'id_test', data: Buffer.from(data), ...(secret === undefined ? {} : { passphrase: new Secret(secret) }), ...rest }
}

async function agentWith(context: TestContext, keys: readonly KeyPair[]): Promise<Extract<Identity, { kind: 'agent' }>> {
  const agent = await startAgent(keys)
  if ('skipped' in agent) return context.skip(agent.skipped)
  cleanups.push(agent.close)
  return { kind: 'agent', socketPath: agent.socketPath }
}

/** Listens as an agent would, and does `serve` with each connection. */
async function listener(serve: (socket: Socket) => void): Promise<{ readonly socketPath: string; readonly open: ReadonlySet<Socket> }> {
  const directory = await mkdtemp(join(tmpdir(), 'remex-agent-'))
  cleanups.push(() => rm(directory, { recursive: true }))
  const socketPath = join(directory, 'agent.sock')
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => undefined).once('close', () => open.delete(socket))
    serve(socket)
  })
  await new Promise<void>((resolve) => void server.listen(socketPath, resolve))
  cleanups.push(() => {
    open.forEach((socket) => socket.destroy())
    server.close()
  })
  return { socketPath, open }
}

const encrypted = makeKeyPair('ed25519', { passphrase: 'correct horse' })
const [ed25519, ecdsa, rsa] = [makeKeyPair(), makeKeyPair('ecdsa'), makeKeyPair('rsa')]
const weak = makeKeyPair('rsa', { bits: 1024 })
const pkcs8 = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })

describe('a key file', () => {
  test.each<[string, Identity, RegExp]>([
    ['that is encrypted, without its passphrase', keyOf(encrypted.privateKey), /vm01: key id_test: it is encrypted, and no passphrase was given/],
    ['with a wrong passphrase', keyOf(encrypted.privateKey, { secret: 'battery staple' }), /vm01: key id_test: wrong passphrase/],
    ['that is empty', keyOf(''), /vm01: key id_test: not a key that can be read/],
    ['that is cut off', keyOf(ed25519.privateKey.slice(0, 200)), /vm01: key id_test: not a key that can be read/],
    ['of a format that is not read', keyOf(pkcs8), /vm01: key id_test: not a key that can be read/],
    ['that is a public key', keyOf(ed25519.publicKey), /vm01: key id_test: it is a public key/],
    ['that is RSA of 1024 bits', keyOf(weak.privateKey), /vm01: key id_test: an RSA key of 1024 bits/],
  ])('%s is unusable', async (_sentence, identity, message) => {
    const expected: unknown = expect.stringMatching(message)
    await expect(collect(identity)).rejects.toMatchObject({ code: 'KEY_UNUSABLE', vmId: 'vm01', message: expected })
  })

  test('opens with its passphrase', async () => {
    const { list, notes } = await collect(keyOf(encrypted.privateKey, { secret: 'correct horse' }))
    expect(list).toMatchObject([{ label: 'id_test (ssh-ed25519)', type: 'ssh-ed25519', blob: blobOf(encrypted), signer: { kind: 'own' } }])
    expect(notes).toEqual([])
  })

  test('shows nothing of itself when the keys are printed', async () => {
    const { list } = await collect(keyOf(encrypted.privateKey, { secret: 'correct horse' }))
    expect(JSON.stringify(list)).toContain('"signer":{"kind":"own","privateKey":{}}')
  })
})

describe('the keys of a host', () => {
  test('come in the order of the identities, each once', async (context) => {
    const agent = await agentWith(context, [ed25519, rsa])
    const { list } = await collect(keyOf(rsa.privateKey), agent, keyOf(ecdsa.privateKey))
    expect(list.map(({ label }) => label)).toEqual(['id_test (ssh-rsa)', 'agent key testkit (ssh-ed25519)', 'id_test (ecdsa-sha2-nistp256)'])
    expect(list.map(({ signer }) => signer.kind)).toEqual(['own', 'agent', 'own'])
  })

  const many = Array.from({ length: 9 }, () => keyOf(makeKeyPair().privateKey))
  const password: Identity = { kind: 'password', secret: new Secret('opensesame') }
  const certificate = { label: 'id_test-cert.pub', type: 'ssh-ed25519-cert-v01@openssh.com', blob: Buffer.alloc(0) }
  test.each<[string, number, readonly Identity[]]>([
    ['at most six', 6, many],
    ['one fewer where a password is to be tried too', 5, [...many, password]],
    ['one fewer for each certificate, which ssh tries besides its key', 4, [...many.slice(2), ...many.slice(0, 2).map((key) => ({ ...key, certificate }))]],
    ['still one where all are certified', 1, many.map((key) => ({ ...key, certificate }))],
  ])('are %s, which is said', async (_sentence, count, identities) => {
    const { list, notes } = await collect(...identities)
    expect(list).toHaveLength(count)
    expect(notes).toEqual([`only the first ${count} of 9 were tried`])
  })

  test('are not to be found where there are no identities', async () => {
    await expect(collect()).rejects.toMatchObject({ code: 'KEY_NOT_FOUND', vmId: 'vm01' })
  })

  test('are none where there is a password alone, or an agent that is not there beside it', async () => {
    expect(await collect(password)).toEqual({ list: [], notes: [] })
    const { list, notes } = await collect({ kind: 'agent', socketPath: '/nonexistent/agent.sock' }, password)
    expect([list, notes]).toEqual([[], [expect.stringMatching(/^the agent at \/nonexistent\/agent.sock cannot be used \(.*ENOENT/)]])
  })
})

describe('an agent', () => {
  test('gives keys of types that only ssh knows, as security keys', async () => {
    await using agent = await startSecurityKeyAgent()
    const { list } = await collect({ kind: 'agent', socketPath: agent.socketPath })
    expect(list).toMatchObject([{ label: 'agent key security key (sk-ssh-ed25519@openssh.com)', blob: blobOf(agent) }])
  })

  test('gives the certificates that it has, but none of a weak key', async (context) => {
    const directory = await mkdtemp(join(tmpdir(), 'remex-cert-'))
    cleanups.push(() => rm(directory, { recursive: true }))
    const agent = await agentWith(context, [])
    const authority = join(directory, 'ca')
    await writeFile(authority, makeKeyPair().privateKey, { mode: 0o600 })
    for (const [name, pair] of Object.entries({ good: rsa, weak })) {
      await writeFile(join(directory, name), pair.privateKey, { mode: 0o600 })
      await writeFile(join(directory, `${name}.pub`), pair.publicKey)
      await run('ssh-keygen', ['-q', '-s', authority, '-I', name, '-n', 'tester', join(directory, `${name}.pub`)])
      await run('ssh-add', ['-q', join(directory, name)], { env: { ...process.env, SSH_AUTH_SOCK: agent.socketPath } })
    }
    const { list, notes } = await collect(agent)
    expect(list.map(({ type }) => type)).toEqual(['ssh-rsa', 'ssh-rsa-cert-v01@openssh.com'])
    expect(notes).toEqual(['keys of the agent that are too weak or of a type that is not allowed: 2'])
  })

  test('gives one key alone where only that one is wanted, and none where it has another', async (context) => {
    const agent = await agentWith(context, [ed25519, ecdsa])
    expect((await collect({ ...agent, only: blobOf(ecdsa) ?? Buffer.alloc(0) })).list.map(({ blob }) => blob)).toEqual([blobOf(ecdsa)])
    const message: unknown = expect.stringContaining('not the one that identity_file names')
    await expect(collect({ ...agent, only: blobOf(rsa) ?? Buffer.alloc(0) })).rejects.toMatchObject({ code: 'KEY_UNUSABLE', message })
  })

  test.for<[string, readonly KeyPair[], RegExp]>([
    ['without keys', [], /the agent has no key that can be used/],
    ['with weak ones alone', [weak], /too weak or of a type that is not allowed: 1; the agent has no key that can be used/],
  ])('%s is unusable', async ([, keys, message], context) => {
    const agent = await agentWith(context, keys)
    const expected: unknown = expect.stringMatching(message)
    await expect(collect(agent)).rejects.toMatchObject({ code: 'KEY_UNUSABLE', vmId: 'vm01', message: expected })
  })

  test('names its keys in words that do nothing to a terminal', async () => {
    const blob = Buffer.concat([sshString('sk-new@example.com'), sshString('key')])
    const { socketPath } = await listener((socket) => socket.write(framed(encodeIdentities([{ blob, comment: `\x1b[2J${'x'.repeat(500)}\n` }]))))
    const [key] = (await collect({ kind: 'agent', socketPath })).list
    expect(key?.label).toBe(`agent key \\x1b[2J${'x'.repeat(96)} (sk-new@example.com)`)
  })

  test.each<[string, Buffer]>([
    ['noise', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['an endless length', Buffer.alloc(8, 0xff)],
    ['a refusal', framed(Buffer.of(5))],
    ['a list that is cut off', framed(Buffer.of(12, 0, 0, 0, 1))],
    ['two lists', Buffer.concat([framed(encodeIdentities([])), framed(encodeIdentities([]))])],
    ['nothing, and hangs up', Buffer.alloc(0)],
  ])('that answers %s is passed over, or unusable when it is alone', async (_sentence, answer) => {
    const { socketPath } = await listener((socket) => socket.end(answer))
    const agent: Identity = { kind: 'agent', socketPath }
    await expect(collect(agent)).rejects.toMatchObject({ code: 'KEY_UNUSABLE' })
    expect((await collect(agent, keyOf(ed25519.privateKey))).list).toHaveLength(1)
  })

  test('that is not a public key in what it lists has that key left out', async () => {
    const { socketPath } = await listener((socket) => socket.write(framed(encodeIdentities([{ blob: Buffer.from('junk'), comment: '' }]))))
    await expect(collect({ kind: 'agent', socketPath })).rejects.toMatchObject({ code: 'KEY_UNUSABLE', message: expect.stringContaining('not allowed: 1') })
  })

  test('that never answers is waited for until the caller gives up, and then left', async () => {
    const silent = await listener((socket) => void socket.resume())
    const giveUp = new AbortController()
    const asking = collectKeys({ vmId: 'vm01', identities: [{ kind: 'agent', socketPath: silent.socketPath }] }, giveUp.signal)
    await until(() => silent.open.size === 1, { what: 'the question' })
    giveUp.abort()
    await expect(asking).rejects.toMatchObject({ code: 'CANCELLED' })
    await until(() => silent.open.size === 0, { what: 'the end of the connection' })
  })
})
