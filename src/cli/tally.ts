import { foldIds } from '../core/fold.ts'
import type { RunResult } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'
import { reasonOf, stateText } from './verdict.ts'

/** Of a run that goes on without us. */
const LEFT = 'left running'
const SUCCEEDED = stateText('succeeded')

/** How many hosts came to which end; each is counted once. */
export class Tally {
  readonly #states = new Map<string, number>()
  /** Ids by why they did not succeed. */
  readonly #others = new Map<string, string[]>()
  #count = 0

  /** `left`: the run goes on without us. */
  add(result: RunResult, left = false): void {
    // A check comes after a run that succeeded, and the host is counted once.
    if (result.check) this.#states.set(SUCCEEDED, (this.#states.get(SUCCEEDED) ?? 1) - 1)
    else this.#count++
    const state = left ? LEFT : stateText(result.state)
    this.#states.set(state, (this.#states.get(state) ?? 0) + 1)
    if (result.state === 'succeeded' && !left) return
    const reason = left ? LEFT : reasonOf(result)
    const ids = this.#others.get(reason)
    if (ids) ids.push(result.vmId)
    else this.#others.set(reason, [result.vmId])
  }

  /** How many hosts are in each state that one is in, those that succeeded first. */
  get states(): readonly (readonly [state: string, count: number])[] {
    return [[SUCCEEDED, this.#states.get(SUCCEEDED) ?? 0], ...[...this.#states].filter(([state]) => state !== SUCCEEDED)]
  }

  /** The ids of those that did not succeed, by why. */
  get others(): ReadonlyMap<string, readonly string[]> {
    return this.#others
  }

  /** The summary: one line of counts, then who did not succeed, folded by why. */
  lines(): string[] {
    const parts = this.states.map(([state, count]) => `${count} ${state}`)
    return [`${this.#count} hosts: ${parts.join(', ')}`, ...[...this.#others].map(([reason, ids]) => `  ${printable(foldIds(ids))}: ${reason}`)]
  }
}
