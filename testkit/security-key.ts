import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sshString, uint32 } from '../src/core/ssh-wire.ts'
import { AgentMessage, encodeIdentities, encodeMessage, framed, MessageDecoder, readSignRequest } from '../src/transport/openssh/agent-protocol.ts'
import { once as onlyOnce } from './ssh-server.ts'

/** An ssh-agent with one security key, whose owner touches it as soon as it is asked to sign. */
export interface SecurityKeyAgent extends AsyncDisposable {
  /** For `SSH_AUTH_SOCK`. */
  readonly socketPath: string
  /** One line as authorized_keys has it: type, base64, comment. */
  readonly publicKey: string
  /** How often the key was touched: the signatures so far. */
  readonly touched: number
  /** Ends it. Its socket goes with it. Safe to repeat. */
  close(): Promise<void>
}

const TYPE = 'sk-ssh-ed25519@openssh.com'
const APPLICATION = 'ssh:'
const COMMENT = 'security key'
const USER_PRESENT = 1

/**
 * Starts an authenticator in software behind an agent's socket, for keys that no program can hold: a real ssh and a real sshd take it
 * for a FIDO device. Its key is new each time, of type `sk-ssh-ed25519@openssh.com`. Source: OpenSSH PROTOCOL.u2f.
 */
export async function startSecurityKeyAgent(): Promise<SecurityKeyAgent> {
  const directory = await mkdtemp(join(tmpdir(), 'remex-security-key-'))
  const socketPath = join(directory, 'agent.sock')
  const device = new SecurityKey()
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    serve(socket, device)
  })
  const close = onlyOnce(async () => {
    const closed = once(server, 'close')
    server.close()
    open.forEach((socket) => socket.destroy())
    await closed
    await rm(directory, { recursive: true, force: true })
  })
  await listen(server, socketPath)
  const publicKey = `${TYPE} ${device.blob.toString('base64')} ${COMMENT}`
  return { socketPath, publicKey, get touched() { return device.touched }, close, [Symbol.asyncDispose]: close }
}

async function listen(server: Server, socketPath: string): Promise<void> {
  server.listen(socketPath)
  await once(server, 'listening')
}

function serve(socket: Socket, device: SecurityKey): void {
  const decoder = new MessageDecoder()
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => {
    const messages = decoder.push(chunk)
    if (messages === undefined) socket.destroy()
    else for (const message of messages) socket.write(framed(answer(message, device)))
  })
}

function answer(message: Buffer, device: SecurityKey): Buffer {
  if (message[0] === AgentMessage.REQUEST_IDENTITIES) return encodeIdentities([{ blob: device.blob, comment: COMMENT }])
  const request = readSignRequest(message)
  if (!request?.blob.equals(device.blob)) return encodeMessage(AgentMessage.FAILURE)
  return encodeMessage(AgentMessage.SIGN_RESPONSE, sshString(device.sign(request.data)))
}

/** What the device has in it. */
class SecurityKey {
  readonly blob: Buffer
  readonly #privateKey: KeyObject
  /** As devices do, it counts its signatures. */
  #counter = 0

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
    this.#privateKey = privateKey
    this.blob = Buffer.concat([sshString(TYPE), sshString(point), sshString(APPLICATION)])
  }

  get touched(): number {
    return this.#counter
  }

  /** The signature with what the device says about it: flags and counter. */
  sign(data: Buffer): Buffer {
    const said = Buffer.concat([Buffer.of(USER_PRESENT), uint32(++this.#counter)])
    const signature = sign(null, Buffer.concat([sha256(APPLICATION), said, sha256(data)]), this.#privateKey)
    return Buffer.concat([sshString(TYPE), sshString(signature), said])
  }
}

function sha256(data: Buffer | string): Buffer {
  return createHash('sha256').update(data).digest()
}
