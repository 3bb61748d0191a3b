import { unlessAborted } from '../core/abort.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { RemexError } from '../core/errors.ts'

/**
 * sshd drops connections at random once ten handshakes are unfinished (MaxStartups 10:30:100), counted for the
 * whole server. Staying below leaves room for other clients.
 */
const HANDSHAKES_PER_SERVER = 8
/** A jump host's own limits are about logins, not about what passes it; this keeps one host from carrying a whole fleet at once. */
const HANDSHAKES_PER_JUMP = 32
/** How long a server that turned a handshake away is left alone; twice as long each time that it does so again. */
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 10_000
/** How long one handshake of several is tried again while its server turns it away. */
const PATIENCE_MS = 60_000

/** Who wants to begin a handshake with one server, or through one jump host. */
interface Line {
  readonly most: number
  /** How many may be under way; falls when the server turns one away, and rises again with those that it takes. */
  limit: number
  running: number
  readonly waiting: (() => void)[]
  /** The most that were there at once. */
  company: number
  pauseMs: number
  /** On the clock's monotonic time. */
  pausedUntilMs: number
  /** Whether somebody waits for the end of the pause. */
  isWatched: boolean
  /** How often the server turned somebody away. What was under way then says nothing new when it fails too. */
  turnedAway: number
}

/**
 * Limits how many handshakes are in flight for each server and each jump host, so that a fan-out does not trip the server's own
 * limits; and goes slower with a server that turns them away all the same, because others connect to it too (MaxStartups,
 * PerSourcePenalties).
 */
export class Governor {
  readonly #lines = new Map<string, Line>()
  readonly #clock: Clock

  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /**
   * Runs `handshake` when there is room for one more with `server` (`address:port`). One of several that is turned away
   * (`THROTTLED`) waits for its turn again, for a minute at most; one that is alone is the caller's to repeat.
   */
  async handshake<T>(server: string, handshake: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const line = this.#lineOf(server, HANDSHAKES_PER_SERVER)
    let patientUntilMs: number | undefined
    for (;;) {
      const before = await this.#enter(line, signal)
      try {
        const result = await handshake()
        succeeded(line)
        return result
      } catch (error) {
        if (!(error instanceof RemexError && error.code === 'THROTTLED')) throw error
        this.#slowDown(line, before)
        patientUntilMs ??= this.#clock.monotonicMs() + PATIENCE_MS
        if (line.company < 2 || signal?.aborted || this.#clock.monotonicMs() >= patientUntilMs) throw error
      } finally {
        this.#leave(server, line)
      }
    }
  }

  /** Runs `work`, a handshake through the jump host `jump`, when there is room for one more. */
  async through<T>(jump: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const key = `through ${jump}`
    const line = this.#lineOf(key, HANDSHAKES_PER_JUMP)
    await this.#enter(line, signal)
    try {
      return await work()
    } finally {
      this.#leave(key, line)
    }
  }

  #lineOf(key: string, most: number): Line {
    const known = this.#lines.get(key)
    if (known) return known
    const line = { most, limit: most, running: 0, waiting: [], company: 0, pauseMs: FIRST_PAUSE_MS, pausedUntilMs: 0, isWatched: false, turnedAway: 0 }
    this.#lines.set(key, line)
    return line
  }

  /** Resolves when it may begin, with what `turnedAway` is then. */
  async #enter(line: Line, signal: AbortSignal | undefined): Promise<number> {
    let admit: () => void = () => undefined
    const turn = new Promise<void>((resolve) => (admit = resolve))
    line.waiting.push(admit)
    line.company = Math.max(line.company, line.running + line.waiting.length)
    this.#admit(line)
    try {
      await unlessAborted(turn, signal, 'waiting for a connection')
      return line.turnedAway
    } catch (error) {
      const place = line.waiting.indexOf(admit)
      if (place >= 0) line.waiting.splice(place, 1)
      // It was admitted in the same moment.
      else this.#free(line)
      throw error
    }
  }

  #admit(line: Line): void {
    const pauseMs = line.pausedUntilMs - this.#clock.monotonicMs()
    if (pauseMs > 0) return this.#admitLater(line, pauseMs)
    while (line.running < Math.floor(line.limit)) {
      const next = line.waiting.shift()
      if (!next) return
      line.running++
      next()
    }
  }

  #admitLater(line: Line, pauseMs: number): void {
    if (line.isWatched || line.waiting.length === 0) return
    line.isWatched = true
    this.#clock.after(pauseMs, () => {
      line.isWatched = false
      this.#admit(line)
    })
  }

  #slowDown(line: Line, before: number): void {
    if (line.turnedAway > before) return
    line.turnedAway++
    line.limit = Math.max(1, line.limit / 2)
    // Not all who were turned away at the same moment are to come back at the same moment.
    line.pausedUntilMs = this.#clock.monotonicMs() + line.pauseMs * (0.5 + Math.random() / 2)
    line.pauseMs = Math.min(line.pauseMs * 2, LONGEST_PAUSE_MS)
  }

  #leave(key: string, line: Line): void {
    this.#free(line)
    // A pause outlives those who made it: whoever comes next is spared it only when it is over.
    if (line.running === 0 && line.waiting.length === 0 && line.pausedUntilMs <= this.#clock.monotonicMs()) this.#lines.delete(key)
  }

  #free(line: Line): void {
    line.running--
    this.#admit(line)
  }
}

function succeeded(line: Line): void {
  line.limit = Math.min(line.most, line.limit + 0.25)
  line.pauseMs = FIRST_PAUSE_MS
}
