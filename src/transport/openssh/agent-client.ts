import { createConnection, type Socket } from 'node:net'
import { unlessAborted } from '../../core/abort.ts'
import { AgentMessage, encodeMessage, framed, MessageDecoder, readIdentities, type ListedKey } from './agent-protocol.ts'

/** The keys of the agent at this socket, in its order. Rejects where it cannot be asked, and with `CANCELLED` when the signal aborts. */
export async function listKeys(socketPath: string, signal?: AbortSignal): Promise<readonly ListedKey[]> {
  const client = new AgentClient(socketPath)
  try {
    const answer = await unlessAborted(client.ask(encodeMessage(AgentMessage.REQUEST_IDENTITIES)), signal, 'asking the agent for its keys')
    const keys = readIdentities(answer)
    if (keys === undefined) throw new Error('it does not tell its keys')
    return keys
  } finally {
    client.close()
  }
}

interface Question {
  readonly resolve: (answer: Buffer) => void
  readonly reject: (error: Error) => void
}

/** One connection to an agent, opened by the first question. */
export class AgentClient {
  readonly #socketPath: string
  readonly #decoder = new MessageDecoder()
  /** In the order of the answers that are to come. */
  readonly #questions: Question[] = []
  #socket: Socket | undefined
  #failure: Error | undefined

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /** Its answer to a message, both without their lengths. Rejects when the connection breaks, and from then on always. */
  ask(message: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure)
        return
      }
      this.#questions.push({ resolve, reject })
      this.#socket ??= this.#open()
      this.#socket.write(framed(message))
    })
  }

  /** Ends the connection; what was asked rejects. Safe to repeat. */
  close(): void {
    this.#fail(new Error('the connection to it was closed'))
  }

  #open(): Socket {
    const socket = createConnection({ path: this.#socketPath })
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.once('close', () => this.#fail(new Error('it closed the connection')))
    return socket
  }

  #take(chunk: Buffer): void {
    for (const message of this.#decoder.push(chunk) ?? [undefined]) {
      const question = message && this.#questions.shift()
      if (message && question) question.resolve(message)
      else this.#fail(new Error('it does not keep to the agent protocol'))
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#socket?.destroy()
    for (const { reject } of this.#questions.splice(0)) reject(this.#failure)
  }
}
