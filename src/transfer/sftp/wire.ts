import { asRemexError, RemexError, remexError, withDetails } from '../../core/errors.ts'
import type { Channel } from '../../transport/contract.ts'
import { abortError } from '../abort.ts'
import { encodePacket, FieldReader, ID_AT, PacketDecoder, PacketType, protocolError } from './codec.ts'
import type { Field } from './codec.ts'
import { Outbox } from './outbox.ts'
import { SilenceWatch } from './silence.ts'
import { decodeStatus, statusError, StatusCode } from './status.ts'
import type { Asked } from './status.ts'

/** One question to the server. */
export interface Question<T> extends Omit<Asked, 'vmId'> {
  readonly type: number
  /** Everything after the request id. */
  readonly fields: readonly Field[]
  /** File content that follows the fields; not copied, so it must stay as it is until the answer is there. */
  readonly data?: Buffer
  /** The packet type that answers it. `STATUS` means that only success or failure is told. */
  readonly answer: number
  /** Reads the answer; what it throws ends the connection, because the server broke the protocol. */
  readonly parse: (fields: FieldReader) => T
  /** What the status "end of file" stands for. Without it, it is a failure. */
  readonly atEnd?: T
}

/** How a connection is used. */
export interface WireOptions {
  /** The host's id, for messages. */
  readonly vmId: string
  /**
   * For how long the server may answer nothing while something is asked; then all that is asked rejects. Default: 5 minutes,
   * because putting a large file on disk may take long. `Infinity` turns it off.
   */
  readonly silenceMs?: number
  /**
   * How many requests the server gets ahead of its answers; the others wait here. Default: 128. 1 for a server that forgets a
   * request which comes before it has answered the last; one that refuses it is found out, and gets one at a time from then on.
   */
  readonly maxOutstanding?: number
}

/** A question under way. */
interface Pending {
  /** With room for the request id. */
  readonly packet: Buffer
  readonly data: Buffer | undefined
  readonly settle: (type: number, fields: FieldReader) => void
  readonly reject: (error: RemexError) => void
  /** The others that the same signal covers. */
  covered?: Set<Pending>
  /** Nobody waits any more; the answer, if it comes, only frees the place. */
  isSettled: boolean
  /** Whether it does no harm to ask this twice. */
  readonly isRepeatable: boolean
  /** Whether nothing else was under way when it was sent. */
  wasAlone: boolean
  /** Asked a second time, alone. */
  isRepeat: boolean
}

/**
 * What changes nothing, or the same again when it is asked again. Not READDIR, which goes on where the last one ended: a
 * name that is passed over would be taken for one that is not there.
 */
const REPEATABLE: ReadonlySet<number> = new Set([
  PacketType.READ, PacketType.WRITE, PacketType.STAT, PacketType.LSTAT, PacketType.FSTAT, PacketType.SETSTAT, PacketType.FSETSTAT, PacketType.REALPATH, PacketType.READLINK,
])

const MAX_OUTSTANDING = 128
const SILENCE_MS = 5 * 60_000
const GREETING_ID = -1
/** Where the code of a STATUS packet is: behind its type and id. */
const STATUS_AT = 5
const MAX_ID = 0xffffffff

/**
 * Questions and answers over one channel. Answers may come in any order. Whatever ends the channel rejects all that is
 * outstanding: `CONNECTION_LOST` when it broke, `TRANSFER_FAILED` when the server sent what is not SFTP, or nothing for too long.
 */
export class SftpWire {
  readonly vmId: string
  readonly #channel: Channel
  readonly #outbox: Outbox
  readonly #decoder = new PacketDecoder()
  readonly #silence: SilenceWatch
  readonly #maxOutstanding: number
  readonly #pending = new Map<number, Pending>()
  readonly #waiting: Pending[] = []
  readonly #bySignal = new Map<AbortSignal, Set<Pending>>()
  /** Takes this wire's listeners off signals that outlive it. */
  readonly #listening = new AbortController()
  #lastId = 0
  /** Requests that were refused beside others and are asked again alone, and whether one of these was then granted. */
  #repeating = 0
  #isSerial = false
  #failure: RemexError | undefined

  constructor(channel: Channel, { vmId, silenceMs = SILENCE_MS, maxOutstanding = MAX_OUTSTANDING }: WireOptions) {
    this.vmId = vmId
    this.#channel = channel
    this.#outbox = new Outbox(channel.stdin)
    this.#maxOutstanding = maxOutstanding
    const onSilence = (): void => this.fail(silentServer(vmId, silenceMs))
    this.#silence = new SilenceWatch({ silenceMs, isOwed: () => this.#pending.size > 0, onSilence })
    const lost = (cause?: unknown): void => this.fail(connectionLost(vmId, cause))
    channel.stdout.on('data', (chunk: Buffer) => this.#take(chunk))
    channel.stdout.once('end', () => lost()).once('close', () => lost())
    for (const stream of [channel.stdin, channel.stdout, channel.stderr]) stream.on('error', lost)
    channel.stderr.resume()
  }

  /** Greets the server; resolves with what `parse` makes of its VERSION packet. Only once, before any {@link ask}. */
  greet<T>(version: number, parse: (fields: FieldReader) => T, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (_type: number, fields: FieldReader): void => resolve(parse(fields))
      const packet = encodePacket(PacketType.INIT, [version])
      const pending = { packet, data: undefined, settle, reject, isSettled: false, isRepeatable: false, wasAlone: true, isRepeat: false }
      if (this.#isTaken(pending, signal)) this.#send(pending, GREETING_ID)
    })
  }

  /** Asks the server. Rejects as {@link statusError} says, with {@link abortError} of `signal`, or when the channel ends. */
  ask<T>(question: Question<T>, signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (type: number, fields: FieldReader): void => {
        const answer = readAnswer(question, { vmId: this.vmId, type, fields })
        if (answer instanceof RemexError) reject(answer)
        else resolve(answer.value)
      }
      const { type, fields, data } = question
      const packet = encodePacket(type, [0, ...fields], data?.length)
      const pending = { packet, data, settle, reject, isSettled: false, isRepeatable: REPEATABLE.has(type), wasAlone: false, isRepeat: false }
      if (!this.#isTaken(pending, signal)) return
      this.#waiting.push(pending)
      this.#sendNext()
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
    this.#silence.stop()
    for (const pending of [...this.#pending.values(), ...this.#waiting]) finish(pending)?.reject(error)
    this.#pending.clear()
    this.#waiting.length = 0
    this.#outbox.flush()
    this.#channel.close()
  }

  /** Whether `pending` may be asked; else it is rejected. */
  #isTaken(pending: Pending, signal: AbortSignal | undefined): boolean {
    const refusal = this.#failure ?? (signal?.aborted ? abortError(signal) : undefined)
    if (refusal !== undefined) pending.reject(refusal)
    else if (signal !== undefined) this.#cover(pending, signal)
    return refusal === undefined
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
    pending.wasAlone = this.#pending.size === 0
    this.#pending.set(id, pending)
    if (id !== GREETING_ID) pending.packet.writeUInt32BE(id, ID_AT)
    this.#outbox.send(pending.packet, pending.data)
  }

  #freeId(): number {
    do this.#lastId = this.#lastId === MAX_ID ? 0 : this.#lastId + 1
    while (this.#pending.has(this.#lastId))
    return this.#lastId
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
    this.#silence.heard()
    const isRefused = type === PacketType.STATUS && packet.length >= STATUS_AT + 4 && packet.readUInt32BE(STATUS_AT) === StatusCode.FAILURE
    if (isRefused && pending.isRepeatable && !pending.wasAlone && !pending.isSettled) {
      this.#repeat(pending)
      return
    }
    if (pending.isRepeat) {
      this.#repeating--
      if (!isRefused) this.#isSerial = true
    }
    try {
      finish(pending)?.settle(type, fields)
    } catch (error) {
      pending.reject(brokenBy(error, this.vmId))
      throw error
    }
    this.#sendNext()
  }

  /**
   * Some servers take one request at a time and refuse what comes before they have answered it, by the same word as for
   * everything else. What is refused alone is refused.
   */
  #repeat(pending: Pending): void {
    this.#repeating += pending.isRepeat ? 0 : 1
    pending.isRepeat = true
    this.#waiting.unshift(pending)
    this.#sendNext()
  }

  /** How many may be under way. */
  get #limit(): number {
    return this.#isSerial || this.#repeating > 0 ? 1 : this.#maxOutstanding
  }

  #sendNext(): void {
    while (this.#pending.size < this.#limit) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      if (!next.isSettled) this.#send(next, this.#freeId())
      else if (next.isRepeat) this.#repeating--
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

function silentServer(vmId: string, silenceMs: number): RemexError {
  return remexError('TRANSFER_FAILED', `the SFTP server of ${vmId} has not answered for ${silenceMs / 1000} s`, {
    vmId,
    hint: 'Look at the host: a disk or network file system that hangs, a full one, or a network that drops packets. The old file is untouched.',
  })
}

function brokenBy(error: unknown, vmId: string): RemexError {
  const known = asRemexError(error)
  return withDetails(remexError(known.code, `${vmId}: ${known.message}`, { cause: known }), { vmId, hint: known.hint })
}

/** An answer as it came. */
interface Arrived {
  readonly vmId: string
  readonly type: number
  readonly fields: FieldReader
}

/** What the server answered, or the error it told. Throws when it is no answer to this question. */
function readAnswer<T>(question: Question<T>, { vmId, type, fields }: Arrived): { value: T } | RemexError {
  const isStatus = type === PacketType.STATUS
  if (!isStatus && type === question.answer) return { value: question.parse(fields) }
  if (!isStatus) throw protocolError(`a packet of type ${type} in answer to one of type ${question.type}`)
  const status = decodeStatus(fields)
  if (status.code === StatusCode.EOF && question.atEnd !== undefined) return { value: question.atEnd }
  if (status.code !== StatusCode.OK) return statusError(status, { vmId, action: question.action, path: question.path })
  if (question.answer !== PacketType.STATUS) throw protocolError(`success without an answer to a packet of type ${question.type}`)
  return { value: question.parse(fields) }
}
