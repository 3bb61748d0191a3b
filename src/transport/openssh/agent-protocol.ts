import { ifWhole, sshString, uint32, WireReader } from '../../core/ssh-wire.ts'

/** Types of message. Source: draft-ietf-sshm-ssh-agent, section 6.1. */
export const AgentMessage = {
  FAILURE: 5,
  SUCCESS: 6,
  REQUEST_IDENTITIES: 11,
  IDENTITIES_ANSWER: 12,
  SIGN_REQUEST: 13,
  SIGN_RESPONSE: 14,
  EXTENSION: 27,
  EXTENSION_FAILURE: 28,
} as const

/** Flags of a SIGN_REQUEST for an RSA key; without one it asks for SHA-1. Source: the same, section 6.1. */
export const SignFlag = { RSA_SHA2_256: 2, RSA_SHA2_512: 4 } as const

/** Tells an agent to which host a connection goes, so that it may hold back keys that are not for that host. Source: OpenSSH PROTOCOL.agent, section 1. */
export const SESSION_BIND = 'session-bind@openssh.com'

/** The longest message, without its length, that is taken; OpenSSH's own limit. Source: ssh-agent.c, AGENT_MAX_LEN. */
export const MAX_MESSAGE_BYTES = 256 * 1024

const LENGTH_BYTES = 4

/** The message with its length before it, as it goes over the socket. */
export function framed(message: Buffer): Buffer {
  return Buffer.concat([uint32(message.length), message])
}

/** A message without its length: the type, then the fields as they are. */
export function encodeMessage(type: number, ...fields: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.of(type), ...fields])
}

/** Cuts what comes over a socket into messages. */
export class MessageDecoder {
  #chunks: Buffer[] = []
  #sizeBytes = 0
  #wantedBytes = LENGTH_BYTES

  /**
   * The messages, without their lengths, that are whole with this chunk. Undefined where a length is 0 or over
   * {@link MAX_MESSAGE_BYTES}: what follows cannot be understood, and the decoder is not to be used any more.
   */
  push(chunk: Buffer): Buffer[] | undefined {
    this.#chunks.push(chunk)
    this.#sizeBytes += chunk.length
    const messages: Buffer[] = []
    // Joined only when there is enough, so that a message in small pieces is not copied at each of them.
    if (this.#sizeBytes < this.#wantedBytes) return messages
    let rest = Buffer.concat(this.#chunks)
    for (;;) {
      const wantedBytes = frameBytes(rest)
      if (wantedBytes === undefined) return undefined
      this.#wantedBytes = wantedBytes
      if (rest.length < wantedBytes) break
      if (wantedBytes > LENGTH_BYTES) messages.push(rest.subarray(LENGTH_BYTES, wantedBytes))
      rest = rest.subarray(wantedBytes)
    }
    this.#chunks = [rest]
    this.#sizeBytes = rest.length
    return messages
  }
}

/** How many bytes the first message needs with its length, or its length alone while that is not there. Undefined: no such length. */
function frameBytes(bytes: Buffer): number | undefined {
  if (bytes.length < LENGTH_BYTES) return LENGTH_BYTES
  const length = bytes.readUInt32BE(0)
  return length === 0 || length > MAX_MESSAGE_BYTES ? undefined : LENGTH_BYTES + length
}

/** A key as an agent lists it. */
export interface ListedKey {
  /** Of the public half, as the agent sent it. */
  readonly blob: Buffer
  /** UTF-8; as the agent sent it, so untrusted. */
  readonly comment: string
}

/** An IDENTITIES_ANSWER with these keys, in this order. */
export function encodeIdentities(keys: readonly ListedKey[]): Buffer {
  const fields = keys.flatMap(({ blob, comment }) => [sshString(blob), sshString(comment)])
  return encodeMessage(AgentMessage.IDENTITIES_ANSWER, uint32(keys.length), ...fields)
}

/** The keys of an IDENTITIES_ANSWER; undefined where the message is none, or is damaged. */
export function readIdentities(message: Buffer): ListedKey[] | undefined {
  return fieldsOf(AgentMessage.IDENTITIES_ANSWER, message, (fields) => {
    const keys: ListedKey[] = []
    // A count that is a lie ends the loop at the first key that is not there.
    for (let left = fields.uint32(); left > 0; left--) keys.push({ blob: fields.string(), comment: fields.text() })
    return fields.isAtEnd ? keys : undefined
  })
}

/** What an agent is asked to sign. */
export interface SignRequest {
  /** Of the key that is to sign. */
  readonly blob: Buffer
  readonly data: Buffer
  /** Of {@link SignFlag}, or others that we do not know. */
  readonly flags: number
}

/** The fields of a SIGN_REQUEST; undefined where the message is none, or is damaged. */
export function readSignRequest(message: Buffer): SignRequest | undefined {
  return fieldsOf(AgentMessage.SIGN_REQUEST, message, (fields) => {
    const request = { blob: fields.string(), data: fields.string(), flags: fields.uint32() }
    return fields.isAtEnd ? request : undefined
  })
}

/** The name of an EXTENSION; undefined where the message is none, or is damaged. What follows the name is its own matter. */
export function readExtensionName(message: Buffer): string | undefined {
  return fieldsOf(AgentMessage.EXTENSION, message, (fields) => fields.string().toString('latin1'))
}

/** What `read` makes of the fields of a message of this type; undefined where it is of another, or ends too early. */
function fieldsOf<T>(type: number, message: Buffer, read: (fields: WireReader) => T): T | undefined {
  return message[0] === type ? ifWhole(() => read(new WireReader(message.subarray(1)))) : undefined
}
