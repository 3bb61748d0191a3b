import type { AnyAuthMethod } from 'ssh2'
import type { RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { loginRefused, REFUSAL_HINTS } from '../login-refusal.ts'
import type { Peer } from '../peer.ts'
import { disconnectText, isTooManyAttempts } from './classify.ts'
import { MAX_OFFERS, type Offer, type Offers } from './offers.ts'

/** One login: what comes next, and what to say when nothing was accepted. */
export class Login {
  readonly #peer: Peer
  readonly #name: string
  readonly #offers: Offers
  readonly #notes: string[]
  readonly #tried: Offer[] = []
  #probed = false
  #accepted: readonly string[] | undefined
  #partial = false
  #exhausted = false

  constructor(target: Peer & { readonly login: string }, offers: Offers) {
    this.#peer = target
    this.#name = target.login
    this.#offers = offers
    this.#notes = [...offers.notes]
  }

  /** True when nothing is left to try. ssh2 reports that as an error like the ones that {@link note} is for. */
  get isExhausted(): boolean {
    return this.#exhausted
  }

  /** What the server said that it accepts; undefined where it has not said. */
  get accepted(): readonly string[] | undefined {
    return this.#accepted
  }

  /** Something that went wrong with one key and leaves the others: the agent would not sign. */
  note(error: Error): void {
    this.#notes.push(printable(error.message))
  }

  /** What ssh2 is to try next (its `authHandler`); `false` for nothing. Both are null at the first call. */
  readonly next = (accepted: readonly string[] | null, partial: boolean | null): AnyAuthMethod | false => {
    if (accepted !== null) this.#accepted = accepted
    this.#partial ||= partial === true
    const offer = this.#offers.list.find((one) => !this.#tried.includes(one) && this.#isOpen(one))
    if (offer !== undefined) {
      this.#tried.push(offer)
      return offer.method
    }
    if (this.#canProbe()) return { type: 'none', username: this.#name }
    this.#exhausted = true
    return false
  }

  #isOpen({ proof }: Offer): boolean {
    const accepted = this.#accepted
    if (proof === 'keyboard-interactive') return accepted?.includes(proof) === true && !this.#isPasswordRefused()
    return accepted?.includes(proof) !== false
  }

  /** A password that was wrong in one way is wrong in the other, and would count against us twice. */
  #isPasswordRefused(): boolean {
    return this.#accepted?.includes('password') === true && this.#tried.some(({ proof }) => proof === 'password')
  }

  /** ssh2 does not say what a server still accepts after an agent's key. One more question tells it, where there is room for one. */
  #canProbe(): boolean {
    if (this.#accepted !== undefined || this.#probed || this.#tried.length >= MAX_OFFERS) return false
    this.#probed = true
    return true
  }

  /** The login failed; `error` is what ssh2 or the server said. */
  failure(error: unknown): RemexError {
    return loginRefused(this.#peer, {
      login: this.#name,
      said: disconnectText(error),
      tried: this.#tried.map(({ label }) => label),
      accepted: this.#accepted,
      notes: this.#notes,
      hint: this.#hint(error),
      cause: error,
    })
  }

  #hint(error: unknown): string | undefined {
    if (isTooManyAttempts(error)) return REFUSAL_HINTS.tooMany
    if (this.#partial) return REFUSAL_HINTS.partial
    if (this.#tried.some(({ proof }) => proof !== 'publickey')) return REFUSAL_HINTS.password
    if (this.#offers.list.some(({ proof }) => proof !== 'publickey')) return REFUSAL_HINTS.noPasswords
    if (this.#accepted?.includes('publickey') !== false) return undefined
    return REFUSAL_HINTS.noKeys
  }
}
