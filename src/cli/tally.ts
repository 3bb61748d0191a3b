import { foldIds } from '../core/fold.ts'
import type { HostState } from '../core/host-state.ts'
import type { RunResult } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'
import { reasonOf, stateText } from './verdict.ts'

/** Of a run that goes on without us. */
const LEFT = 'left running'

/** How many hosts came to which end; each is counted once. */
export class Tally {
  readonly #states = new Map<string, number>()
  /** Ids by why they did not succeed. */
  readonly #others = new Map<string, string[]>()
  #count = 0

  /** `left`: the run goes on without us. */
  add(result: RunResult, left = false): void {
    this.#count++
    const state = left ? LEFT : stateText(result.state)
    this.#states.set(state, (this.#states.get(state) ?? 0) + 1)
    if (result.state === 'succeeded' && !left) return
    const reason = left ? LEFT : reasonOf(result)
    this.#others.set(reason, [...(this.#others.get(reason) ?? []), result.vmId])
  }

  /** The summary: one line of counts, then who did not succeed, folded by why. */
  lines(): string[] {
    const succeeded = stateText('succeeded' satisfies HostState)
    const others = [...this.#states].filter(([state]) => state !== succeeded)
    const parts = [`${this.#states.get(succeeded) ?? 0} ${succeeded}`, ...others.map(([state, count]) => `${count} ${state}`)]
    return [`${this.#count} hosts: ${parts.join(', ')}`, ...[...this.#others].map(([reason, ids]) => `  ${printable(foldIds(ids))}: ${reason}`)]
  }
}
