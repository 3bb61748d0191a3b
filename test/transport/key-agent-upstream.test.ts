import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseHostKey } from '../../src/core/host-key.ts'
import type { Agent, Identity } from '../../src/core/identity.ts'
import { sshString, uint32 } from '../../src/core/ssh-wire.ts'
import { AgentClient } from '../../src/transport/openssh/agent-client.ts'
import { AgentMessage, encodeIdentities, encodeMessage, framed, MessageDecoder, SESSION_BIND } from '../../src/transport/openssh/agent-protocol.ts'
import { serveKeys, type KeyAgent } from '../../src/transport/openssh/key-agent.ts'
import { collectKeys } from '../../src/transport/openssh/offered-keys.ts'
import { makeKeyPair, type KeyPair } from '../../testkit/keys.ts'
import { until } from '../../testkit/until.ts'

const cleanups: (() => unknown)[] = []
let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-key-agent-'))
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await rm(directory, { recursive: true })
})

const [own, others] = [makeKeyPair(), makeKeyPair()]
const blobOf = ({ publicKey }: KeyPair): Buffer => parseHostKey(publicKey)?.blob ?? Buffer.alloc(0)
const ownKey: Identity = { kind: 'key', label: 'id_test', data: Buffer.from(own.privateKey) }

/** Our agent with the keys of these identities. */
async function serving(...identities: readonly Identity[]): Promise<KeyAgent> {
  const { list } = await collectKeys({ vmId: 'vm01', identities })
  const agent = await serveKeys(join(directory, 'ours.sock'), list)
  cleanups.push(agent.close)
  return agent
}

function clientOf(agent: KeyAgent): AgentClient {
  const client = new AgentClient(agent.socketPath)
  cleanups.push(() => client.close())
  return client
}

const signRequest = (pair: KeyPair): Buffer => encodeMessage(AgentMessage.SIGN_REQUEST, sshString(blobOf(pair)), sshString('data'), uint32(0))
const FAILURE = encodeMessage(AgentMessage.FAILURE)

/** An agent with one key, that answers as it is told and keeps what it was asked; undefined: it does not answer. */
async function puppet(answer: (message: Buffer) => Buffer | undefined): Promise<{ readonly identity: Agent; readonly asked: Buffer[][]; readonly open: ReadonlySet<Socket> }> {
  const asked: Buffer[][] = []
  const open = new Set<Socket>()
  const socketPath = join(directory, `puppet${cleanups.length}.sock`)
  const server = createServer((socket) => {
    const decoder = new MessageDecoder()
    const messages: Buffer[] = []
    asked.push(messages)
    open.add(socket)
    socket.on('error', () => undefined).once('close', () => open.delete(socket))
    socket.on('data', (chunk: Buffer) => {
      for (const message of decoder.push(chunk) ?? []) {
        messages.push(message)
        const reply = message[0] === AgentMessage.REQUEST_IDENTITIES ? framed(encodeIdentities([{ blob: blobOf(others), comment: '' }])) : answer(message)
        if (reply) socket.write(reply)
      }
    })
  })
  server.listen(socketPath)
  await once(server, 'listening')
  cleanups.push(() => {
    open.forEach((socket) => socket.destroy())
    server.close()
  })
  return { identity: { kind: 'agent', socketPath }, asked, open }
}

describe('another agent', () => {
  const bind = encodeMessage(AgentMessage.EXTENSION, sshString(SESSION_BIND), sshString('host key'), sshString('session'), sshString('signature'), Buffer.of(0))
  const success = framed(Buffer.of(AgentMessage.SUCCESS))
  const signature = encodeMessage(AgentMessage.SIGN_RESPONSE, sshString('signature'))

  test('hears byte for byte to which host it is bound and what it is to sign, on one connection for each of ours', async () => {
    const other = await puppet((message) => (message[0] === AgentMessage.EXTENSION ? success : framed(signature)))
    const agent = await serving(ownKey, other.identity)
    const request = signRequest(others)
    for (const client of [clientOf(agent), clientOf(agent)]) {
      expect(await client.ask(bind)).toEqual(Buffer.of(AgentMessage.SUCCESS))
      expect(await client.ask(request)).toEqual(signature)
      expect(await client.ask(request)).toEqual(signature)
    }
    const [listing, ...conversations] = other.asked
    expect(listing).toEqual([Buffer.of(11)])
    expect(conversations).toEqual([[bind, request, request], [bind, request, request]])
  })

  test('is not connected to by a client that needs nothing from it', async () => {
    const other = await puppet(() => success)
    const agent = await serving(ownKey, other.identity)
    await clientOf(agent).ask(signRequest(own))
    expect(other.asked).toHaveLength(1)
  })

  test.each<[string, readonly Buffer[], number]>([
    ['bound where there is none', [], AgentMessage.SUCCESS],
    ['bound where it says so', [success], AgentMessage.SUCCESS],
    ['not bound where it does not know how', [framed(FAILURE)], AgentMessage.EXTENSION_FAILURE],
    ['not bound where it breaks', [uint32(0)], AgentMessage.FAILURE],
  ])('is said to be %s', async (_sentence, replies, expected) => {
    const others = await Promise.all(replies.map((reply) => puppet(() => reply)))
    const client = clientOf(await serving(ownKey, ...others.map(({ identity }) => identity)))
    expect(await client.ask(bind)).toEqual(Buffer.of(expected))
    expect((await client.ask(signRequest(own)))[0]).toBe(AgentMessage.SIGN_RESPONSE)
  })

  test.each<[string, Buffer]>([
    ['a refusal', framed(FAILURE)],
    ['success without a signature', success],
    ['an endless length', uint32(0xffffffff)],
    ['noise', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['two answers', Buffer.concat([framed(FAILURE), framed(signature)])],
  ])('that answers %s has not signed, and our own keys go on', async (_sentence, reply) => {
    const other = await puppet(() => reply)
    const agent = await serving(other.identity, ownKey)
    const client = clientOf(agent)
    expect(await client.ask(signRequest(others))).toEqual(FAILURE)
    expect((await client.ask(signRequest(own)))[0]).toBe(AgentMessage.SIGN_RESPONSE)
    expect([...agent.signed].map(({ blob }) => blob)).toEqual([blobOf(own)])
  })

  test.each<[string, (client: AgentClient, agent: KeyAgent) => unknown]>([
    ['the client has gone', (client) => client.close()],
    ['our agent is closed', (_client, agent) => agent.close()],
  ])('that takes its time to sign is left as soon as %s', async (_sentence, leave) => {
    const other = await puppet(() => undefined)
    const agent = await serving(other.identity)
    const client = clientOf(agent)
    const refused = expect(client.ask(signRequest(others))).rejects.toThrow()
    await until(() => other.asked[1]?.length === 1, { what: 'the request to sign' })
    await leave(client, agent)
    await refused
    await until(() => other.open.size === 0, { what: 'the end of the connection' })
  })
})
