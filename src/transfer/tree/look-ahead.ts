import { assertPassing } from './plan.ts'
import type { Outcome, Plan, WalkedDirectory } from './plan.ts'

/** Directories that are listed at once. */
const MAX_UNDER_WAY = 16
/** How far ahead of the walk a directory may be listed, counted in directories. */
const MAX_AHEAD = 32
/** So many names may wait for the walk, or be expected, before no further directory is listed ahead. */
const MAX_WAITING_NAMES = 1_500
/** What a directory is expected to bring before any has come: few are asked for at once until they prove to be small. */
const UNKNOWN_NAMES = 16_000

/** A directory in the order of the walk. */
interface Place {
  readonly directory: WalkedDirectory
  /** Undefined until it is asked for. */
  outcome?: Promise<Settled>
  /** Names that wait here. */
  nameCount: number
  next?: Place
}

/** A failure is a value: whoever stops walking leaves no rejection behind. */
type Settled = { readonly outcome: Outcome } | { readonly fatal: unknown }

/**
 * Lists directories before the walk comes to them. The directories that are known and not yet entered stand in the order
 * in which the walk enters them: when one is listed, those in it are put right behind it. The first of this list are asked
 * for, so that a walk over a long way waits for one round trip where there would be sixteen, and what is held stays bounded.
 */
export class LookAhead {
  readonly #plan: (directory: WalkedDirectory) => Promise<Plan | 'vanished'>
  #first: Place | undefined
  #underWay = 0
  #waitingNames = 0
  /** What a directory under way may bring: that of the largest so far, less with each one that was smaller. */
  #expectedNames = UNKNOWN_NAMES
  #isStopped = false

  constructor(root: WalkedDirectory, plan: (directory: WalkedDirectory) => Promise<Plan | 'vanished'>) {
    this.#first = { directory: root, nameCount: 0 }
    this.#plan = plan
  }

  /**
   * What became of the next directory of the walk: first the root, then those of each plan in order, whatever is in each
   * before its next sibling. Rejects with what ends the whole walk.
   */
  async takeNext(): Promise<Outcome> {
    const place = this.#first
    if (place === undefined) return 'vanished'
    const settled = await this.#ask(place)
    this.#first = place.next
    this.#waitingNames -= place.nameCount
    this.#fill()
    if ('fatal' in settled) throw settled.fatal
    return settled.outcome
  }

  /** Nothing more is asked for. */
  stop(): void {
    this.#isStopped = true
    this.#first = undefined
  }

  #fill(): void {
    let place = this.#first
    for (let ahead = 0; place !== undefined && ahead < MAX_AHEAD && this.#hasRoom(); ahead += 1) {
      void this.#ask(place)
      place = place.next
    }
  }

  #hasRoom(): boolean {
    const nameCount = this.#waitingNames + this.#underWay * this.#expectedNames
    return !this.#isStopped && this.#underWay < MAX_UNDER_WAY && nameCount < MAX_WAITING_NAMES
  }

  #ask(place: Place): Promise<Settled> {
    place.outcome ??= this.#settle(place)
    return place.outcome
  }

  async #settle(place: Place): Promise<Settled> {
    this.#underWay += 1
    try {
      const outcome = await this.#plan(place.directory)
      if (outcome !== 'vanished') this.#learn(place, outcome)
      return { outcome }
    } catch (error) {
      return settleFailure(error)
    } finally {
      this.#underWay -= 1
      this.#fill()
    }
  }

  /** The directories of `plan` come behind `place`, before what came behind it so far. */
  #learn(place: Place, plan: Plan): void {
    place.nameCount = plan.items.length
    this.#waitingNames += plan.items.length
    this.#expectedNames = Math.max(plan.items.length, Math.floor(this.#expectedNames / 2))
    let last = place
    const behind = place.next
    for (const { walk } of plan.items) {
      if (walk === null) continue
      last.next = { directory: walk, nameCount: 0 }
      last = last.next
    }
    if (last !== place) last.next = behind
  }
}

function settleFailure(error: unknown): Settled {
  try {
    return { outcome: assertPassing(error) }
  } catch (fatal) {
    return { fatal }
  }
}
