import type { Socket } from 'node:net'
import { listenOnLoopback } from './loopback.ts'
import { NetworkConditions, type Direction } from './network-conditions.ts'
import { joinSockets, type SocketPair } from './network-lane.ts'

/** How the network is to be. */
export interface NetworkOptions {
  /** Where connections lead. */
  readonly to: { readonly host: string; readonly port: number }
  /** Delay of every byte in each direction, so that a round trip takes twice as long. Default: 0. */
  readonly latencyMs?: number
  /** Random part that comes on top, up to this many ms. Bytes keep their order. Default: 0. */
  readonly jitterMs?: number
}

/** A TCP proxy on loopback that misbehaves when told to. */
export interface TestNetwork extends AsyncDisposable {
  /** On 127.0.0.1; connect here in place of the server. */
  readonly port: number
  /** Connections made so far. */
  readonly connections: number
  /** Connections that are open now. */
  readonly openConnections: number
  /** Bytes sent on so far in each direction, over all connections. */
  readonly delivered: Readonly<Record<Direction, number>>
  /** Breaks every open connection with a TCP reset, towards both ends. New ones can be made. */
  cut(): void
  /**
   * Cuts as soon as exactly `bytes` more have been sent on in this direction. Who was to receive more gets these, however
   * slowly it reads, and then an end; a reset would overtake them. Works once; a later call replaces it.
   */
  cutAfterBytes(bytes: number, direction: Direction): void
  /** Keeps connections open and accepts new ones, but moves nothing: what is seen when a cable is pulled. */
  stall(): void
  /** Ends a stall; what was held back is sent on. */
  resume(): void
  /** Flips a bit of the byte that follows after `atByte` more in this direction (default: `toClient`). Works once. */
  corrupt(atByte: number, direction?: Direction): void
  /** For what is read from now on, in each direction. */
  setLatency(latencyMs: number): void
  /** Cuts everything and stops listening. Safe to repeat. */
  close(): Promise<void>
}

/** Starts a network that leads to one TCP server. It is as fast as loopback until told otherwise. */
export async function startNetwork(options: NetworkOptions): Promise<TestNetwork> {
  const pairs = new Set<SocketPair>()
  const cut = (spared?: Socket): void => pairs.forEach((pair) => pair.cut(spared))
  const conditions = new NetworkConditions(options, cut)
  const listener = await listenOnLoopback((socket) => {
    const pair = joinSockets(socket, options.to, conditions)
    pairs.add(pair)
    void pair.closed.then(() => pairs.delete(pair))
  }, { allowHalfOpen: true })
  const close = async (): Promise<void> => {
    cut()
    await listener.close()
  }
  return {
    port: listener.port,
    get connections() { return listener.accepted },
    get openConnections() { return pairs.size },
    delivered: conditions.delivered,
    cut: () => cut(),
    cutAfterBytes: (bytes, direction) => conditions.planCut(bytes, direction),
    stall: () => { conditions.stalled = true },
    resume: () => {
      conditions.stalled = false
      pairs.forEach((pair) => pair.flush())
    },
    corrupt: (atByte, direction = 'toClient') => conditions.planCorruption(atByte, direction),
    setLatency: (latencyMs) => { conditions.latencyMs = latencyMs },
    close,
    [Symbol.asyncDispose]: close,
  }
}
