import type { Duplex } from 'node:stream'
import type { RemexError } from '../../core/errors.ts'
import type { Turnstile } from '../../core/turnstile.ts'
import type { ConnectTarget } from '../contract.ts'
import { cancelledError, connectError, timeoutError, type Peer, type Phase, type Standing } from './classify.ts'
import { dial } from './dial.ts'
import { Handshake, type HandshakePlan, type Shaken } from './handshake.ts'
import { timerMs } from './keepalive.ts'
import { Transcript } from './transcript.ts'

/** What bounds an attempt to connect. */
export interface Bounds {
  readonly peer: Peer
  /** For all of it, from DNS to login. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  /** What all handshakes of the engine pass. */
  readonly turnstile: Turnstile
}

/** One attempt to connect: it knows how far it has come, and ends when its time is over or its signal aborts. */
export class Attempt implements Standing {
  readonly peer: Peer
  readonly #bounds: Bounds
  #stream: Duplex | undefined
  #handshake: Handshake | undefined
  #isOpen = false
  #isOver = false
  readonly #silence = new Transcript()

  constructor(bounds: Bounds) {
    this.peer = bounds.peer
    this.#bounds = bounds
  }

  get phase(): Phase {
    return this.#handshake?.phase ?? (this.#isOpen ? 'identification' : 'dial')
  }

  get transcript(): Transcript {
    return this.#handshake?.transcript ?? this.#silence
  }

  /**
   * Does `work` within the bounds. Rejects with `CONNECT_TIMEOUT`, `CANCELLED` or what `work` rejects with;
   * whatever was opened is destroyed then.
   */
  async within<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#bounds
    if (signal?.aborted === true) throw cancelledError(this, signal.reason)
    const ended = this.#ending()
    try {
      return await Promise.race([ended.promise, work()])
    } catch (error) {
      this.#isOver = true
      this.#stream?.destroy()
      throw error
    } finally {
      ended.cancel()
    }
  }

  /** Opens the way to the server. `open` rejects classified. */
  dial(target: Pick<ConnectTarget, 'address' | 'port' | 'stream'>): Promise<{ stream: Duplex; open: Promise<void> }> {
    return this.#bounds.turnstile.do(() => this.#dial(target))
  }

  #dial(target: Pick<ConnectTarget, 'address' | 'port' | 'stream'>): { stream: Duplex; open: Promise<void> } {
    // It took too long, or was cancelled, while it waited for its turn.
    if (this.#isOver) throw connectError(this, undefined)
    try {
      const { stream, open } = dial(target)
      this.#own(stream)
      const classified = open.then(() => { this.#isOpen = true }, (error: unknown) => { throw connectError(this, error) })
      // It is awaited later, or never when something else fails first.
      classified.catch(() => undefined)
      return { stream, open: classified }
    } catch (error) {
      throw connectError(this, error)
    }
  }

  /** Runs the handshake on what was dialled. */
  shake(plan: Omit<HandshakePlan, 'peer' | 'turnstile'>): Promise<Shaken> {
    // Too late, or somebody else's stream died before we came to listen.
    if (this.#isOver || plan.stream.destroyed || plan.stream.readableEnded) throw connectError(this, undefined)
    this.#handshake = new Handshake({ ...plan, peer: this.peer, turnstile: this.#bounds.turnstile })
    return this.#handshake.run()
  }

  #own(stream: Duplex): void {
    this.#stream = stream
    // For good: a stream may fail long after it stopped to matter, and that must not end the process.
    stream.on('error', () => undefined)
  }

  #ending(): { promise: Promise<never>; cancel: () => void } {
    const { timeoutMs, signal } = this.#bounds
    const { promise, reject } = rejectable()
    const onAbort = (): void => reject(cancelledError(this, signal?.reason))
    const wait = timerMs(timeoutMs)
    const timer = wait === 0 ? undefined : setTimeout(() => reject(timeoutError(this, timeoutMs)), wait)
    signal?.addEventListener('abort', onAbort, { once: true })
    const cancel = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
    return { promise, cancel }
  }
}

function rejectable(): { promise: Promise<never>; reject: (error: RemexError) => void } {
  let reject: (error: RemexError) => void = () => undefined
  const promise = new Promise<never>((_resolve, refuse) => { reject = refuse })
  return { promise, reject }
}
