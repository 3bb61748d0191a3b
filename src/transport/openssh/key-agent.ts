import type { KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { chmod } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { sshString } from '../../core/ssh-wire.ts'
import { AgentClient } from './agent-client.ts'
import { AgentMessage, encodeIdentities, encodeMessage, framed, MessageDecoder, readExtensionName, readSignRequest, SESSION_BIND, SignFlag } from './agent-protocol.ts'
import { signatureOf, type SignatureRequest } from './key-signature.ts'
import type { OfferedKey } from './offered-keys.ts'

/** An ssh-agent of our own, for one ssh. */
export interface KeyAgent {
  /** For ssh's `IdentityAgent`. */
  readonly socketPath: string
  /** The keys that have signed so far; an agent of the user's may have asked for a touch or a PIN first. */
  readonly signed: ReadonlySet<OfferedKey>
  /** Ends it with all its connections; its socket goes with it. Safe to repeat. */
  close(): Promise<void>
}

/** ssh has one or two. */
const MOST_CONNECTIONS = 16
/** Requests that came on a connection before earlier ones were answered. ssh waits for each answer. */
const MOST_WAITING = 16

/** Keys that are there, or are still read: who asks for them waits. Where they cannot be read, there are none. */
export type OfferedKeysSoon = readonly OfferedKey[] | Promise<readonly OfferedKey[]>

/**
 * Serves these keys at `socketPath`, which must not be there yet, in a directory that is the user's alone. It lists them in their
 * order and signs with them; every other request, and a signature by SHA-1, is refused. Private keys do not leave this process.
 * Rejects with the system's error where the socket cannot be made. Source: draft-ietf-sshm-ssh-agent.
 */
export async function serveKeys(socketPath: string, keys: OfferedKeysSoon): Promise<KeyAgent> {
  // ssh may end before it asks; who made the promise tells what was wrong with the keys.
  Promise.resolve(keys).catch(() => undefined)
  const signed = new Set<OfferedKey>()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    converse(socket, new Conversation(keys, signed))
  })
  server.maxConnections = MOST_CONNECTIONS
  const close = async (): Promise<void> => {
    const closed = server.listening ? once(server, 'close') : undefined
    server.close()
    sockets.forEach((socket) => socket.destroy())
    await closed
  }
  await listen(server, socketPath).catch(async (error: unknown) => {
    await close()
    throw error
  })
  return { socketPath, signed, close }
}

async function listen(server: Server, socketPath: string): Promise<void> {
  server.listen({ path: socketPath })
  await once(server, 'listening')
  // A connection that cannot be accepted, for lack of descriptors, is not the end of the process: ssh says that it got no keys.
  server.on('error', () => undefined)
  await chmod(socketPath, 0o600)
}

/** Answers in the order of the requests, and no faster than the answers are read. */
function converse(socket: Socket, conversation: Conversation): void {
  const decoder = new MessageDecoder()
  let waiting = 0
  let last = Promise.resolve()
  socket.on('data', (chunk: Buffer) => {
    const messages = decoder.push(chunk)
    waiting += messages?.length ?? 0
    if (messages === undefined || waiting > MOST_WAITING) {
      socket.destroy()
      return
    }
    for (const message of messages) {
      last = last.then(async () => {
        await send(socket, await conversation.answer(message))
        waiting--
      })
    }
  })
  socket.on('error', () => undefined)
  socket.once('close', () => conversation.end())
}

/** Resolves when it is written, or cannot be any more. */
function send(socket: Socket, message: Buffer): Promise<void> {
  return new Promise((resolve) => void socket.write(framed(message), () => resolve()))
}

const FAILURE = encodeMessage(AgentMessage.FAILURE)

/** One connection of ssh, with the connections to other agents that it needs. */
class Conversation {
  readonly #keys: OfferedKeysSoon
  readonly #signed: Set<OfferedKey>
  /** By socket path. Each conversation has its own, because an agent remembers for a connection to which host it was bound. */
  readonly #agents = new Map<string, AgentClient>()
  #isOver = false

  constructor(keys: OfferedKeysSoon, signed: Set<OfferedKey>) {
    this.#keys = keys
    this.#signed = signed
  }

  /** Never rejects: what goes wrong is a refusal. */
  async answer(message: Buffer): Promise<Buffer> {
    try {
      return (await this.#grant(message)) ?? FAILURE
    } catch {
      return FAILURE
    }
  }

  end(): void {
    this.#isOver = true
    this.#agents.forEach((agent) => agent.close())
  }

  async #grant(message: Buffer): Promise<Buffer | undefined> {
    // What waited while ssh went away must not ask the user for a touch.
    if (this.#isOver) return undefined
    switch (message[0]) {
      case AgentMessage.REQUEST_IDENTITIES:
        return encodeIdentities((await this.#keys).map(({ blob, label }) => ({ blob, comment: label })))
      case AgentMessage.SIGN_REQUEST:
        return this.#sign(message)
      case AgentMessage.EXTENSION:
        return readExtensionName(message) === SESSION_BIND ? this.#bind(message) : undefined
      default:
        return undefined
    }
  }

  async #sign(message: Buffer): Promise<Buffer | undefined> {
    const request = readSignRequest(message)
    const key = request && (await this.#keys).find(({ blob }) => blob.equals(request.blob))
    if (!request || !key || isSha1(key.type, request.flags)) return undefined
    const answer = key.signer.kind === 'agent' ? await this.#agentAt(key.signer.socketPath).ask(message) : await signedBy(key.signer.privateKey, { ...request, type: key.type })
    if (answer?.[0] !== AgentMessage.SIGN_RESPONSE) return undefined
    this.#signed.add(key)
    return answer
  }

  /** Passed on as it is: the server's signature in it is over the very session, and each agent judges it for itself. */
  async #bind(message: Buffer): Promise<Buffer> {
    const paths = new Set((await this.#keys).flatMap(({ signer }) => (signer.kind === 'agent' ? [signer.socketPath] : [])))
    const answers = await Promise.all([...paths].map((path) => this.#agentAt(path).ask(message)))
    const isBound = answers.every((answer) => answer[0] === AgentMessage.SUCCESS)
    return encodeMessage(isBound ? AgentMessage.SUCCESS : AgentMessage.EXTENSION_FAILURE)
  }

  #agentAt(socketPath: string): AgentClient {
    const agent = this.#agents.get(socketPath) ?? new AgentClient(socketPath)
    this.#agents.set(socketPath, agent)
    return agent
  }
}

async function signedBy(privateKey: KeyObject, request: SignatureRequest): Promise<Buffer | undefined> {
  const signature = await signatureOf(privateKey, request)
  return signature && encodeMessage(AgentMessage.SIGN_RESPONSE, sshString(signature))
}

/** Also for keys of other agents, of which old ones sign with SHA-1 where no flag asks for another. */
function isSha1(type: string, flags: number): boolean {
  return type.startsWith('ssh-rsa') && flags !== SignFlag.RSA_SHA2_256 && flags !== SignFlag.RSA_SHA2_512
}
