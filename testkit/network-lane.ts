import { connect, type Socket } from 'node:net'
import { resetSocket } from './loopback.ts'
import type { Direction, NetworkConditions } from './network-conditions.ts'

/** Two sockets whose bytes go from one to the other. */
export interface SocketPair {
  /** Settles when both are closed. */
  readonly closed: Promise<void>
  /** Sends on what is due, after a stall. */
  flush(): void
  /** Resets both, or all but the one that is spared. */
  cut(spared?: Socket): void
}

/** Connects to where `socket` is meant to go, and joins the two under these conditions. A failure of one resets the other. */
export function joinSockets(socket: Socket, to: { readonly host: string; readonly port: number }, conditions: NetworkConditions): SocketPair {
  const server = connect({ ...to, noDelay: true, allowHalfOpen: true })
  const ends = [socket, server]
  let spare: Socket | undefined
  const cut = (spared?: Socket): void => {
    spare = spared
    ends.filter((end) => end !== spared).forEach(resetSocket)
  }
  const lanes = [new Lane([socket, server], 'toServer', conditions), new Lane([server, socket], 'toClient', conditions)]
  for (const end of ends) end.on('error', () => cut(spare))
  const closed = Promise.all(ends.map((end) => new Promise<void>((resolve) => end.once('close', () => {
    // In order only when both directions have ended before; then the other one closes by itself.
    if (!end.readableEnded || !end.writableFinished) cut(spare)
    resolve()
  }))))
  return { closed: closed.then(() => undefined), cut, flush: () => lanes.forEach((lane) => lane.flush()) }
}

/** Read and waiting for its time. No data: the end of the stream. */
interface Parcel {
  readonly dueMs: number
  readonly data: Buffer | undefined
}

/**
 * How much may be under way, so that it is not this that limits the throughput at ordinary delays:
 * 25 ms of loopback's 2 GB/s.
 */
const MAX_UNDER_WAY_BYTES = 64 * 1024 * 1024

/** One direction of a pair: a queue with the time at which each part of it is to arrive. */
class Lane {
  readonly #source: Socket
  readonly #sink: Socket
  readonly #direction: Direction
  readonly #conditions: NetworkConditions
  readonly #queue: Parcel[] = []
  #queuedBytes = 0
  #lastDueMs = 0
  #timer: NodeJS.Timeout | undefined
  #sinkIsFull = false

  constructor([source, sink]: readonly [Socket, Socket], direction: Direction, conditions: NetworkConditions) {
    this.#source = source
    this.#sink = sink
    this.#direction = direction
    this.#conditions = conditions
    source.on('data', (data) => this.#take(data))
    source.once('end', () => this.#take(undefined))
    sink.once('close', () => clearTimeout(this.#timer))
    sink.on('drain', () => {
      this.#sinkIsFull = false
      this.flush()
    })
  }

  #take(data: Buffer | undefined): void {
    this.#lastDueMs = Math.max(this.#lastDueMs, this.#conditions.dueMs())
    this.#queue.push({ dueMs: this.#lastDueMs, data })
    this.#queuedBytes += data?.length ?? 0
    this.flush()
  }

  /** Sends on what is due and sees to it that the rest follows in time. */
  flush(): void {
    clearTimeout(this.#timer)
    // What is under way to an end that is gone arrives nowhere.
    if (!this.#sink.writable) this.#queue.length = 0
    for (let next = this.#queue[0]; next && this.#mayPass(next); next = this.#queue[0]) {
      this.#queue.shift()
      this.#queuedBytes -= next.data?.length ?? 0
      this.#pass(next.data)
    }
    this.#adjustSource()
    const waiting = this.#queue[0]
    if (waiting && !this.#conditions.stalled && !this.#sinkIsFull) {
      this.#timer = setTimeout(() => this.flush(), Math.max(0, waiting.dueMs - performance.now()))
    }
  }

  #mayPass({ dueMs }: Parcel): boolean {
    return !this.#conditions.stalled && !this.#sinkIsFull && dueMs <= performance.now()
  }

  #pass(data: Buffer | undefined): void {
    if (data === undefined) {
      this.#sink.end()
      return
    }
    const arriving = this.#conditions.deliver(data, this.#direction)
    this.#sinkIsFull = !this.#sink.write(arriving.data)
    if (!arriving.cuts) return
    this.#queue.length = 0
    this.#sink.end()
    this.#conditions.cut(this.#sink)
  }

  /** During a stall nothing is read either, so that a sender's own buffers fill up as they would. */
  #adjustSource(): void {
    if (this.#conditions.stalled || this.#queuedBytes >= MAX_UNDER_WAY_BYTES || this.#sinkIsFull) this.#source.pause()
    else this.#source.resume()
  }
}
