import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, type TestContext } from 'vitest'
import { parseHostKey } from '../../src/core/host-key.ts'
import type { Agent, Identity } from '../../src/core/identity.ts'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import { AgentClient } from '../../src/transport/openssh/agent-client.ts'
import { AgentMessage, encodeMessage, framed, MessageDecoder, readIdentities } from '../../src/transport/openssh/agent-protocol.ts'
import { serveKeys, type KeyAgent } from '../../src/transport/openssh/key-agent.ts'
import { collectKeys } from '../../src/transport/openssh/offered-keys.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { makeKeyPair, type KeyPair } from '../../testkit/keys.ts'
import { startAgent } from '../../testkit/ssh-agent.ts'

const run = promisify(execFile)
const cleanups: (() => unknown)[] = []
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-key-agent-'))
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await rm(directory, { recursive: true })
})

const pairs = {
  ed25519: makeKeyPair(),
  nistp256: makeKeyPair('ecdsa', { bits: 256 }),
  nistp384: makeKeyPair('ecdsa', { bits: 384 }),
  nistp521: makeKeyPair('ecdsa', { bits: 521 }),
  rsa: makeKeyPair('rsa'),
}
const stranger = makeKeyPair()

const blobOf = ({ publicKey }: Pick<KeyPair, 'publicKey'>): Buffer => parseHostKey(publicKey)?.blob ?? Buffer.alloc(0)
const keyOf = ({ privateKey }: Pick<KeyPair, 'privateKey'>, label = 'id_test'): Identity => ({ kind: 'key', label, data: Buffer.from(privateKey) })

/** Our agent with the keys of these identities. */
async function serving(...identities: readonly Identity[]): Promise<KeyAgent> {
  const { list } = await collectKeys({ vmId: 'vm01', identities })
  const agent = await serveKeys(join(directory, 'ours.sock'), list)
  cleanups.push(agent.close)
  return agent
}

/** A real ssh-agent with these keys. */
async function upstream(context: TestContext, ...keys: readonly KeyPair[]): Promise<Agent> {
  const agent = await startAgent(keys)
  if ('skipped' in agent) return context.skip(agent.skipped)
  cleanups.push(agent.close)
  return { kind: 'agent', socketPath: agent.socketPath }
}

function clientOf(agent: KeyAgent): AgentClient {
  const client = new AgentClient(agent.socketPath)
  cleanups.push(() => client.close())
  return client
}

const signRequest = (blob: Buffer, flags = 0): Buffer => encodeMessage(AgentMessage.SIGN_REQUEST, sshString(blob), sshString('data'), uint32(flags))
const FAILURE = encodeMessage(AgentMessage.FAILURE)

function sshAdd(socketPath: string, ...words: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run('ssh-add', [...words], { env: { ...process.env, SSH_AUTH_SOCK: socketPath } })
}

describe.skipIf(!findProgram('ssh-add'))('ssh-add', () => {
  test('lists the keys in their order, by their labels', async (context) => {
    const agent = await serving(keyOf(pairs.rsa), await upstream(context, pairs.nistp384), keyOf(pairs.ed25519, 'id_ed25519_vm01'))
    const { stdout } = await sshAdd(agent.socketPath, '-L')
    const lines = [pairs.rsa, pairs.nistp384, pairs.ed25519].map(({ publicKey }) => publicKey.split(' ').slice(0, 2).join(' '))
    const labels = ['id_test (ssh-rsa)', 'agent key testkit (ecdsa-sha2-nistp384)', 'id_ed25519_vm01 (ssh-ed25519)']
    expect(stdout.trim().split('\n')).toEqual(lines.map((line, index) => `${line} ${labels[index] ?? ''}`))
    expect((await sshAdd(agent.socketPath, '-l')).stdout.split('\n')).toHaveLength(4)
  })

  // With RSA keys older ones ask for SHA-1.
  test.each(Object.entries(pairs).filter(([kind]) => kind !== 'rsa'))('has a signature with a key of ours verified: %s', async (_kind, pair) => {
    const agent = await serving(keyOf(pair))
    await writeFile(join(directory, 'key.pub'), pair.publicKey)
    await sshAdd(agent.socketPath, '-T', join(directory, 'key.pub'))
    expect([...agent.signed].map(({ blob }) => blob)).toEqual([blobOf(pair)])
  })

  test.each([['add a key', []], ['remove all', ['-D']], ['remove one', ['-d']]])('cannot %s', async (_what, options) => {
    const agent = await serving(keyOf(pairs.ed25519))
    await writeFile(join(directory, 'key'), pairs.ed25519.privateKey, { mode: 0o600 })
    await writeFile(join(directory, 'key.pub'), pairs.ed25519.publicKey)
    const words = options.includes('-D') ? options : [...options, join(directory, 'key')]
    await expect(sshAdd(agent.socketPath, ...words)).rejects.toThrow(/refused|Failed to remove|Could not remove/)
    expect((await sshAdd(agent.socketPath, '-L')).stdout.trim().split('\n')).toHaveLength(1)
  })
})

describe('our agent', () => {
  test('is for its owner alone, and gone with its socket and connections when it is closed', async () => {
    const agent = await serving(keyOf(pairs.ed25519))
    expect((await stat(agent.socketPath)).mode & 0o777).toBe(0o600)
    const client = clientOf(agent)
    await client.ask(encodeMessage(AgentMessage.REQUEST_IDENTITIES))
    await Promise.all([agent.close(), agent.close()])
    await expect(client.ask(encodeMessage(AgentMessage.REQUEST_IDENTITIES))).rejects.toThrow()
    await expect(access(agent.socketPath)).rejects.toThrow(/ENOENT/)
  })

  test('does not take the place of another socket', async () => {
    const agent = await serving(keyOf(pairs.ed25519))
    await expect(serveKeys(agent.socketPath, [])).rejects.toThrow(/EADDRINUSE/)
    expect(readIdentities(await clientOf(agent).ask(encodeMessage(AgentMessage.REQUEST_IDENTITIES)))).toHaveLength(1)
  })

  test.for<[string, (context: TestContext) => Promise<Identity>]>([
    ['of ours', async () => keyOf(pairs.rsa)],
    ['of another agent', (context) => upstream(context, pairs.rsa)],
  ])('makes no signature by SHA-1, which a request without flags asks an RSA key %s for', async ([, identity], context) => {
    const agent = await serving(await identity(context))
    const answers = []
    for (const flags of [0, 1, 6, 8, 2, 4]) answers.push((await clientOf(agent).ask(signRequest(blobOf(pairs.rsa), flags)))[0])
    expect(answers).toEqual([5, 5, 5, 5, 14, 14])
  })

  test('signs with no key that is not on its list, not even with others that an agent has', async (context) => {
    const other = await upstream(context, pairs.ed25519, pairs.nistp256)
    const agent = await serving({ ...other, only: blobOf(pairs.nistp256) })
    expect((await clientOf(agent).ask(signRequest(blobOf(pairs.nistp256))))[0]).toBe(AgentMessage.SIGN_RESPONSE)
    for (const blob of [blobOf(pairs.ed25519), blobOf(stranger), Buffer.alloc(0)]) expect(await clientOf(agent).ask(signRequest(blob))).toEqual(FAILURE)
    expect([...agent.signed]).toHaveLength(1)
  })

  test.each([
    ['to list keys of version 1', Buffer.of(1)],
    ['to add a key', encodeMessage(17, sshString('ssh-ed25519'))],
    ['to remove a key', encodeMessage(18, sshString(blobOf(pairs.ed25519)))],
    ['to remove all keys', Buffer.of(19)],
    ['to load a token', encodeMessage(20, sshString('/usr/lib/evil.so'), sshString('1234'))],
    ['to be locked', encodeMessage(22, sshString('password'))],
    ['to be unlocked', encodeMessage(23, sshString('password'))],
    ['to add a key with constraints', encodeMessage(25, sshString('ssh-ed25519'))],
    ['to load a token with constraints', encodeMessage(26, sshString('/usr/lib/evil.so'), sshString('1234'))],
    ['for its extensions', encodeMessage(27, sshString('query'))],
    ['for an extension whose name is cut off', encodeMessage(27, uint32(24))],
    ['for something unknown', Buffer.of(255)],
    ['for a signature, cut off', signRequest(blobOf(pairs.ed25519)).subarray(0, -1)],
    ['for a signature, and goes on', Buffer.concat([signRequest(blobOf(pairs.ed25519)), Buffer.of(0)])],
    ['for a signature of Ed25519 with a flag of RSA', signRequest(blobOf(pairs.ed25519), 2)],
  ])('refuses a request %s, and answers the next', async (_sentence, message) => {
    const client = clientOf(await serving(keyOf(pairs.ed25519)))
    expect(await client.ask(message)).toEqual(FAILURE)
    expect((await client.ask(signRequest(blobOf(pairs.ed25519))))[0]).toBe(AgentMessage.SIGN_RESPONSE)
  })

  test.each<[string, Buffer]>([
    ['an endless length', uint32(0xffffffff)],
    ['a length over the limit', uint32(256 * 1024 + 1)],
    ['a message of no length', uint32(0)],
    ['requests without waiting for answers', Buffer.concat(Array.from({ length: 10_000 }, () => framed(Buffer.of(11))))],
  ])('hangs up on a peer that sends %s, and serves the others', async (_sentence, sent) => {
    const agent = await serving(keyOf(pairs.ed25519))
    const other = clientOf(agent)
    await other.ask(Buffer.of(11))
    await hungUpOn(agent, sent)
    expect((await other.ask(Buffer.of(11)))[0]).toBe(AgentMessage.IDENTITIES_ANSWER)
  })

  test('survives random bytes, and never signs for them', async () => {
    const agent = await serving(keyOf(pairs.ed25519), keyOf(pairs.rsa))
    const client = clientOf(agent)
    const junk = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes))
    const request = signRequest(blobOf(pairs.ed25519))
    const damaged = fc.oneof(
      fc.nat(request.length - 1).map((length) => request.subarray(0, length)),
      junk.map((more) => Buffer.concat([request, more])),
      fc.tuple(junk, fc.nat()).map(([blob, flags]) => signRequest(blob, flags)),
      junk.map((rest) => encodeMessage(AgentMessage.SIGN_REQUEST, rest)),
    ).filter((message) => message.length > 0)
    await fc.assert(fc.asyncProperty(fc.oneof(junk, damaged), async (message) => {
      const [type] = await client.ask(message)
      expect(message[0] === AgentMessage.REQUEST_IDENTITIES ? AgentMessage.IDENTITIES_ANSWER : AgentMessage.FAILURE).toBe(type)
    }), { numRuns: 500 })
    await fc.assert(fc.asyncProperty(fc.array(fc.oneof(junk, damaged.map(framed)), { minLength: 1, maxLength: 5 }), async (chunks) => {
      expect((await talk(agent, ...chunks)).map(([type]) => type)).not.toContain(AgentMessage.SIGN_RESPONSE)
    }))
    expect([...agent.signed]).toEqual([])
    expect(readIdentities(await client.ask(Buffer.of(11)))).toHaveLength(2)
  })
})

/** Sends it, and waits for the agent to hang up. */
async function hungUpOn(agent: KeyAgent, sent: Buffer): Promise<void> {
  const socket = createConnection(agent.socketPath)
  cleanups.push(() => socket.destroy())
  const closed = once(socket, 'close')
  socket.on('error', () => undefined).resume().write(sent)
  await closed
}

/** Sends all of it, and gives what was answered until the agent hung up, or had seen that nothing more comes. */
async function talk(agent: KeyAgent, ...chunks: readonly Buffer[]): Promise<Buffer[]> {
  const socket = createConnection(agent.socketPath)
  const decoder = new MessageDecoder()
  const answers: Buffer[] = []
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => answers.push(...(decoder.push(chunk) ?? [])))
  for (const chunk of chunks) socket.write(chunk)
  socket.end()
  await once(socket, 'close')
  return answers
}
