import { unlessAborted } from '../core/abort.ts'
import { RemexError, remexError } from '../core/errors.ts'
import type { Channel, Connection } from '../transport/contract.ts'
import { sessionLimit } from './session-limit.ts'

/** An idle connection is closed after this long. */
const IDLE_MS = 60_000

/** Makes a connection; the signal aborts when nobody waits for it any more. */
export type Connect = (signal: AbortSignal) => Promise<Connection>

/** What one use of the pool asks for. */
export interface PoolRequest<T extends Held> {
  /** Connections are shared by requests with the same key: the host's id. */
  readonly key: string
  readonly connect: Connect
  /** Whether what is opened is a session (a command, a subsystem), of which a server may take fewer than of other channels. */
  readonly isSession: boolean
  /** Opens the channel; `CHANNEL_REFUSED` leads to another connection. */
  readonly open: (connection: Connection) => Promise<T>
  readonly signal: AbortSignal | undefined
}

/** What a place is sought by. */
type Asked = Pick<PoolRequest<Held>, 'key' | 'connect' | 'isSession'>

/** What holds a place on a connection until it is closed: a channel, or a forwarded stream. */
export type Held = Pick<Channel, 'closed'>

interface Entry {
  readonly key: string
  readonly connection: Promise<Connection>
  readonly abandon: AbortController
  ready: Connection | undefined
  /** Channels that are open or being opened. */
  busy: number
  /** Those of them that are sessions. */
  sessions: number
  /** How many the server allows: unknown until it refuses one (sshd: MaxSessions, 10). */
  capacity: number
  idleTimer: NodeJS.Timeout | undefined
}

/** Open connections, shared within the process. A connection that broke is never given out again. */
export class ConnectionPool {
  readonly #maxIdle: number
  readonly #entries = new Set<Entry>()
  /** How many sessions the last connection of a key took at a time. */
  readonly #sessionLimits = new Map<string, number>()
  #closed = false

  /** `maxIdle`: connections without a channel that are kept, the longest unused go first. */
  constructor(maxIdle: number) {
    this.#maxIdle = maxIdle
  }

  /** A channel for `request`, on a connection that is open or a new one. Rejects as `connect` and `open` do, and with `CANCELLED` after `close`. */
  async open<T extends Held>(request: PoolRequest<T>): Promise<{ readonly held: T; readonly connection: Connection }> {
    for (;;) {
      if (this.#closed) throw remexError('CANCELLED', 'no connection is made any more: this Remex was closed')
      const entry = this.#roomy(request) ?? this.#add(request)
      this.#take(entry, request)
      const isFresh = entry.ready === undefined
      try {
        const connection = await unlessAborted(entry.connection, request.signal, 'connecting')
        if (this.#isOverfull(entry, request)) {
          this.#release(entry, request)
          continue
        }
        const held = await request.open(connection)
        void held.closed.then(() => this.#release(entry, request))
        return { held, connection }
      } catch (error) {
        this.#release(entry, request)
        if (!isPassedOver(error, { entry, isFresh })) throw error
        entry.capacity = Math.min(entry.capacity, entry.busy)
      }
    }
  }

  /** Closes all connections; what runs on them ends as `lost`. */
  close(): void {
    this.#closed = true
    for (const entry of this.#entries) this.#drop(entry)
  }

  #roomy({ key, isSession }: Asked): Entry | undefined {
    for (const entry of this.#entries) {
      if (entry.key !== key || entry.busy >= entry.capacity || entry.ready?.isClosed) continue
      if (!isSession || entry.sessions < this.#sessionLimit(key)) return entry
    }
    return undefined
  }

  /** Of a host that was never reached nobody knows it. */
  #sessionLimit(key: string): number {
    return this.#sessionLimits.get(key) ?? Infinity
  }

  /** More sessions waited for the connection than its server, which is known now, is given. */
  #isOverfull({ key, sessions }: Entry, { isSession }: Asked): boolean {
    return isSession && sessions > this.#sessionLimit(key)
  }

  #add({ key, connect }: Asked): Entry {
    const abandon = new AbortController()
    const connection = connect(abandon.signal)
    const entry: Entry = { key, connection, abandon, ready: undefined, busy: 0, sessions: 0, capacity: Infinity, idleTimer: undefined }
    this.#entries.add(entry)
    connection.then(
      (open) => {
        entry.ready = open
        this.#sessionLimits.set(key, sessionLimit(open.info))
        void open.closed.then(() => this.#drop(entry))
      },
      () => this.#drop(entry),
    )
    return entry
  }

  #take(entry: Entry, { isSession }: Asked): void {
    entry.busy++
    if (isSession) entry.sessions++
    clearTimeout(entry.idleTimer)
    // Taken again: now among the most recently used.
    this.#entries.delete(entry)
    this.#entries.add(entry)
  }

  #release(entry: Entry, { isSession }: Asked): void {
    entry.busy--
    if (isSession) entry.sessions--
    if (entry.busy > 0) return
    if (!entry.ready) this.#drop(entry)
    if (!this.#entries.has(entry)) return
    entry.idleTimer = setTimeout(() => this.#drop(entry), IDLE_MS)
    entry.idleTimer.unref()
    const idle = [...this.#entries].filter((one) => one.busy === 0)
    for (const old of idle.slice(0, Math.max(0, idle.length - this.#maxIdle))) this.#drop(old)
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry)
    clearTimeout(entry.idleTimer)
    entry.abandon.abort()
    entry.connection.then((connection) => connection.close(), () => undefined)
  }
}

/** Whether a connection's failure leads to another connection in place of an error: nothing was sent on this one. */
function isPassedOver(error: unknown, { entry, isFresh }: { readonly entry: Entry; readonly isFresh: boolean }): boolean {
  if (!(error instanceof RemexError)) return false
  // The server allows no more channels on it while the others are open.
  if (error.code === 'CHANNEL_REFUSED') return entry.busy > 0
  // It was there already and had died unseen, which is no failure of what is asked for now.
  return error.code === 'CONNECTION_LOST' && !error.mayHaveRun && !isFresh
}
