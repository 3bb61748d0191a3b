import { foldIds } from '../../core/fold.ts'
import type { RunResult } from '../../core/outcome.ts'
import { printable } from '../../core/printable.ts'
import { Tally } from '../tally.ts'

/** The rate is that of so many ms. */
const WINDOW_MS = 10_000
/** A rate of less than this is no rate yet. */
const SHORTEST_MS = 500

/** A host that runs, and for how long. */
export interface RunningHost {
  readonly vmId: string
  readonly elapsedMs: number
}

/** Hosts that came to the same end, for the same reason. */
export interface Trouble {
  /** Folded. */
  readonly hosts: string
  readonly count: number
  readonly reason: string
}

/** How far a run on many hosts is. Times are those of one clock that never goes back, in ms. */
export class RunModel {
  readonly total: number
  readonly startMs: number
  readonly #known: ReadonlySet<string>
  /** In the order in which they began, so that the slowest are first. */
  readonly #running = new Map<string, number>()
  readonly #ended = new Set<string>()
  readonly #tally = new Tally()
  readonly #folded = new Map<string, { readonly count: number; readonly text: string }>()
  /** When hosts ended, the newest last. */
  #endings: number[] = []

  constructor(ids: readonly string[], nowMs: number) {
    this.#known = new Set(ids)
    this.total = ids.length
    this.startMs = nowMs
  }

  /** A host's turn has come. */
  started(vmId: string, nowMs: number): void {
    this.#running.set(vmId, nowMs)
  }

  /** A host is done. `left`: the run goes on there without us. */
  finished(result: RunResult, nowMs: number, left = false): void {
    this.#running.delete(result.vmId)
    this.#ended.add(result.vmId)
    this.#tally.add(result, left)
    this.#endings.push(nowMs)
  }

  get done(): number {
    return this.#ended.size
  }

  get running(): number {
    return this.#running.size
  }

  get waiting(): number {
    return this.total - this.done - this.running
  }

  /** How many hosts are in each state that one is in, those that succeeded first. */
  get states(): readonly (readonly [state: string, count: number])[] {
    return this.#tally.states
  }

  /** What is known of the host here. */
  stateOf(vmId: string): 'running' | 'waiting' | 'done' | 'unknown' {
    if (this.#running.has(vmId)) return 'running'
    if (this.#ended.has(vmId)) return 'done'
    return this.#known.has(vmId) ? 'waiting' : 'unknown'
  }

  /** The hosts that run for longest, the slowest first. */
  slowest(most: number, nowMs: number): readonly RunningHost[] {
    const hosts: RunningHost[] = []
    for (const [vmId, startedMs] of this.#running) {
      if (hosts.length === most) break
      hosts.push({ vmId, elapsedMs: nowMs - startedMs })
    }
    return hosts
  }

  /** Hosts that end in a second, of late. */
  rate(nowMs: number): number {
    const fromMs = nowMs - WINDOW_MS
    const first = this.#endings.findIndex((ms) => ms > fromMs)
    this.#endings = first === -1 ? [] : this.#endings.slice(first)
    return (this.#endings.length * 1000) / Math.max(SHORTEST_MS, Math.min(WINDOW_MS, nowMs - this.startMs))
  }

  /** How many reasons there are why hosts did not succeed. */
  get reasons(): number {
    return this.#tally.others.size
  }

  /** Why hosts did not succeed, with most hosts first; at most so many reasons. */
  troubles(most: number): readonly Trouble[] {
    const largest = [...this.#tally.others].sort(([, one], [, other]) => other.length - one.length).slice(0, most)
    return largest.map(([reason, ids]) => ({ hosts: this.#fold(reason, ids), count: ids.length, reason }))
  }

  /** Folding thousands of hosts takes time, and most frames have the same. */
  #fold(reason: string, ids: readonly string[]): string {
    const known = this.#folded.get(reason)
    if (known?.count === ids.length) return known.text
    const text = printable(foldIds(ids))
    this.#folded.set(reason, { count: ids.length, text })
    return text
  }
}
