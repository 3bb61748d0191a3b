import { asRemexError, RemexError, remexError, withDetails } from '../../core/errors.ts'
import type { Channel } from '../../transport/contract.ts'
import { abortError } from '../abort.ts'
import { encodePacket, FieldReader, PacketDecoder, PacketType, protocolError, uint32 } from './codec.ts'
import { decodeStatus, statusError, StatusCode } from './status.ts'
import type { Asked } from './status.ts'

/** One question to the server. */
export interface Question<T> extends Omit<Asked, 'vmId'> {
  readonly type: number
  /** Everything after the request id. */
  readonly fields: readonly Buffer[]
  /** File content that follows the fields; not copied, so it must stay as it is until the answer is there. */
  readonly data?: Buffer
  /** The packet type that answers it. `STATUS` means that only success or failure is told. */
  readonly answer: number
  /** Reads the answer; what it throws ends the connection, because the server broke the protocol. */
  readonly parse: (fields: FieldReader) => T
  /** What the status "end of file" stands for. Without it, it is a failure. */
  readonly atEnd?: T
}

/** A question under way. */
interface Pending {
  readonly send: (id: number) => void
  readonly settle: (type: number, fields: FieldReader) => void
  readonly reject: (error: RemexError) => void
  /** The others that the same signal covers. */
  covered?: Set<Pending>
  /** Nobody waits any more; the answer, if it comes, only frees the place. */
  isSettled: boolean
}

/** Above this, further questions wait here: what the server and the channel must hold at once stays bounded. */
const MAX_OUTSTANDING = 128
const GREETING_ID = -1
const MAX_ID = 0xffffffff
/** Up to this, content is copied behind its head, which costs less than a packet of its own. */
const COPY_BYTES = 16 * 1024

/**
 * Questions and answers over one channel. Answers may come in any order. Whatever ends the channel rejects all that is
 * outstanding: `CONNECTION_LOST` when it broke, `TRANSFER_FAILED` when the server sent what is not SFTP.
 */
export class SftpWire {
  readonly vmId: string
  readonly #channel: Channel
  readonly #decoder = new PacketDecoder()
  readonly #pending = new Map<number, Pending>()
  readonly #waiting: Pending[] = []
  readonly #bySignal = new Map<AbortSignal, Set<Pending>>()
  /** Takes this wire's listeners off signals that outlive it. */
  readonly #listening = new AbortController()
  #lastId = 0
  #failure: RemexError | undefined

  constructor(channel: Channel, vmId: string) {
    this.vmId = vmId
    this.#channel = channel
    const lost = (cause?: unknown): void => this.fail(connectionLost(vmId, cause))
    channel.stdout.on('data', (chunk: Buffer) => this.#take(chunk))
    channel.stdout.once('end', () => lost()).once('close', () => lost())
    for (const stream of [channel.stdin, channel.stdout, channel.stderr]) stream.on('error', lost)
    channel.stderr.resume()
  }

  /** Greets the server; resolves with what `parse` makes of its VERSION packet. Only once, before any {@link ask}. */
  greet<T>(version: number, parse: (fields: FieldReader) => T, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (type: number, fields: FieldReader): void => {
        if (type !== PacketType.VERSION) throw protocolError(`a packet of type ${type} before its version`)
        resolve(parse(fields))
      }
      const send = (): void => this.#write(encodePacket(PacketType.INIT, [uint32(version)]))
      this.#enter({ send, settle, reject, isSettled: false }, GREETING_ID, signal)
    })
  }

  /** Asks the server. Rejects as {@link statusError} says, with {@link abortError} of `signal`, or when the channel ends. */
  ask<T>(question: Question<T>, signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (type: number, fields: FieldReader): void => {
        const answer = readAnswer({ ...question, vmId: this.vmId }, type, fields)
        if (answer instanceof RemexError) reject(answer)
        else resolve(answer.value)
      }
      const send = (id: number): void => this.#write(...packetOf(question, id))
      this.#enter({ send, settle, reject, isSettled: false }, undefined, signal)
    })
  }

  /** Whether the channel has ended: every question would be rejected. */
  get isBroken(): boolean {
    return this.#failure !== undefined
  }

  /** Ends the channel; everything outstanding rejects with `error`. Only the first call counts. */
  fail(error: RemexError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#listening.abort()
    for (const pending of [...this.#pending.values(), ...this.#waiting]) finish(pending)?.reject(error)
    this.#pending.clear()
    this.#waiting.length = 0
    this.#channel.close()
  }

  #enter(pending: Pending, id: number | undefined, signal: AbortSignal | undefined): void {
    const refusal = this.#failure ?? (signal?.aborted ? abortError(signal) : undefined)
    if (refusal !== undefined) {
      pending.reject(refusal)
      return
    }
    if (signal !== undefined) this.#cover(pending, signal)
    if (this.#pending.size < MAX_OUTSTANDING) this.#send(pending, id ?? this.#freeId())
    else this.#waiting.push(pending)
  }

  /** One listener for each signal, however many questions it covers. */
  #cover(pending: Pending, signal: AbortSignal): void {
    let covered = this.#bySignal.get(signal)
    if (covered === undefined) {
      covered = new Set()
      this.#bySignal.set(signal, covered)
      signal.addEventListener('abort', () => this.#abandon(signal), { once: true, signal: this.#listening.signal })
    }
    covered.add(pending)
    pending.covered = covered
  }

  #abandon(signal: AbortSignal): void {
    for (const pending of [...(this.#bySignal.get(signal) ?? [])]) finish(pending)?.reject(abortError(signal))
    this.#bySignal.delete(signal)
  }

  #send(pending: Pending, id: number): void {
    this.#pending.set(id, pending)
    pending.send(id)
  }

  #freeId(): number {
    do this.#lastId = this.#lastId === MAX_ID ? 0 : this.#lastId + 1
    while (this.#pending.has(this.#lastId))
    return this.#lastId
  }

  #write(...parts: Buffer[]): void {
    const { stdin } = this.#channel
    stdin.cork()
    for (const part of parts) stdin.write(part)
    stdin.uncork()
  }

  #take(chunk: Buffer): void {
    if (this.#failure !== undefined) return
    try {
      for (const packet of this.#decoder.push(chunk)) this.#dispatch(packet)
    } catch (error) {
      this.fail(brokenBy(error, this.vmId))
    }
  }

  #dispatch(packet: Buffer): void {
    const fields = new FieldReader(packet)
    const type = fields.uint8()
    const id = type === PacketType.VERSION ? GREETING_ID : fields.uint32()
    const pending = this.#pending.get(id)
    if (pending === undefined) throw protocolError(`an answer (type ${type}) to a request that was not made`)
    this.#pending.delete(id)
    try {
      finish(pending)?.settle(type, fields)
    } catch (error) {
      pending.reject(brokenBy(error, this.vmId))
      throw error
    }
    this.#sendNext()
  }

  #sendNext(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (next.isSettled) continue
      this.#send(next, this.#freeId())
      return
    }
  }
}

/** `pending` if it still waits, marked as answered; else undefined. */
function finish(pending: Pending): Pending | undefined {
  if (pending.isSettled) return undefined
  pending.isSettled = true
  pending.covered?.delete(pending)
  return pending
}

function connectionLost(vmId: string, cause: unknown): RemexError {
  return remexError('CONNECTION_LOST', `${vmId}: the SFTP connection broke`, {
    vmId,
    cause,
    hint: 'The old file is untouched; repeat the transfer.',
  })
}

function brokenBy(error: unknown, vmId: string): RemexError {
  const known = asRemexError(error)
  return withDetails(remexError(known.code, `${vmId}: ${known.message}`, { cause: known }), { vmId, hint: known.hint })
}

function packetOf(question: Question<unknown>, id: number): Buffer[] {
  const { type, fields, data } = question
  const head = encodePacket(type, [uint32(id), ...fields], data?.length)
  if (data === undefined) return [head]
  return data.length <= COPY_BYTES ? [Buffer.concat([head, data])] : [head, data]
}

/** What the server answered, or the error it told. Throws when it is no answer to this question. */
function readAnswer<T>(question: Question<T> & Asked, type: number, fields: FieldReader): { value: T } | RemexError {
  const isStatus = type === PacketType.STATUS
  if (!isStatus && type === question.answer) return { value: question.parse(fields) }
  if (!isStatus) throw protocolError(`a packet of type ${type} in answer to one of type ${question.type}`)
  const status = decodeStatus(fields)
  if (status.code === StatusCode.EOF && question.atEnd !== undefined) return { value: question.atEnd }
  if (status.code !== StatusCode.OK) return statusError(status, question)
  if (question.answer !== PacketType.STATUS) throw protocolError(`success without an answer to a packet of type ${question.type}`)
  return { value: question.parse(fields) }
}
