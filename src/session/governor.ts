import { unlessAborted } from '../core/abort.ts'

/**
 * sshd drops connections at random once ten handshakes are unfinished (MaxStartups 10:30:100), counted for the
 * whole server. Staying below leaves room for other clients.
 */
const HANDSHAKES_PER_SERVER = 8

/** Limits how many handshakes are in flight for each server, so that a fan-out does not trip the server's own limits. */
export class Governor {
  readonly #servers = new Map<string, { running: number; readonly waiting: (() => void)[] }>()

  /** Runs `handshake` when there is room for one more with `server` (`address:port`). */
  async handshake<T>(server: string, handshake: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#enter(server, signal)
    try {
      return await handshake()
    } finally {
      this.#leave(server)
    }
  }

  async #enter(server: string, signal: AbortSignal | undefined): Promise<void> {
    const line = this.#servers.get(server) ?? { running: 0, waiting: [] }
    this.#servers.set(server, line)
    if (line.running < HANDSHAKES_PER_SERVER) {
      line.running++
      return
    }
    let admit: () => void = () => undefined
    const turn = new Promise<void>((resolve) => (admit = resolve))
    line.waiting.push(admit)
    try {
      // Whoever leaves hands its place on, so `running` is not counted up here.
      await unlessAborted(turn, signal, 'waiting for a connection')
    } catch (error) {
      const place = line.waiting.indexOf(admit)
      if (place >= 0) line.waiting.splice(place, 1)
      else this.#leave(server)
      throw error
    }
  }

  #leave(server: string): void {
    const line = this.#servers.get(server)
    if (!line) return
    const next = line.waiting.shift()
    if (next) next()
    else if (--line.running === 0) this.#servers.delete(server)
  }
}
