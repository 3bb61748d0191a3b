import type { Duplex } from 'node:stream'
import type { Turnstile } from '../../core/turnstile.ts'
import type { Route } from '../contract.ts'
import { within, type Bounds } from '../bounds.ts'
import { dial } from '../dial.ts'
import type { Peer, Phase } from '../peer.ts'
import { connectError, type Standing } from './classify.ts'
import { Handshake, type HandshakePlan, type Shaken } from './handshake.ts'
import { Transcript } from './transcript.ts'

/** What an attempt at a host is made with. */
export interface AttemptParts extends Bounds {
  readonly peer: Peer
  /** What all handshakes of the engine pass. */
  readonly turnstile: Turnstile
}

/** One attempt to connect: it knows how far it has come, and ends when its time is over or its signal aborts. */
export class Attempt implements Standing {
  readonly peer: Peer
  readonly #bounds: AttemptParts
  #stream: Duplex | undefined
  #handshake: Handshake | undefined
  #isOpen = false
  #isOver = false
  readonly #silence = new Transcript()

  constructor(bounds: AttemptParts) {
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
    try {
      return await within(this.#bounds, () => this, work)
    } catch (error) {
      this.#isOver = true
      this.#stream?.destroy()
      throw error
    }
  }

  /** Opens the way to the server. `open` rejects classified. */
  async dial({ address, port, open }: Pick<Route, 'address' | 'port' | 'open'>): Promise<{ stream: Duplex; open: Promise<void> }> {
    const through = await open?.()
    try {
      return await this.#bounds.turnstile.do(() => this.#dial({ address, port, through }))
    } catch (error) {
      through?.destroy()
      throw error
    }
  }

  #dial(target: Parameters<typeof dial>[0]): { stream: Duplex; open: Promise<void> } {
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
}
