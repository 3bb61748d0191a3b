import type { Key } from './keys.ts'
import type { LinesPane } from './lines-pane.ts'

/** Longer than the id of any host. */
const LONGEST = 200

/** What the keys can do to the run. */
export interface Deeds {
  /** Cancels all, as Ctrl-C does. */
  readonly interrupt: () => void
  /** Cancels one host; what it says is shown. */
  readonly cancel: (vmId: string) => string
  /** The height of the lines, for a page. */
  readonly pageRows: () => number
}

/** What the keys do, and what of it is to be seen. */
export class Controls {
  readonly #pane: LinesPane
  readonly #deeds: Deeds
  #typed: string | undefined
  #message: string | undefined
  #helps = false

  constructor(pane: LinesPane, deeds: Deeds) {
    this.#pane = pane
    this.#deeds = deeds
  }

  /** The id as far as it was typed; undefined while none is asked for. */
  get typed(): string | undefined {
    return this.#typed
  }

  /** What was said last; undefined after the next key. */
  get message(): string | undefined {
    return this.#message
  }

  /** Whether the keys are to be explained. */
  get helps(): boolean {
    return this.#helps
  }

  /** Shows `text` until the next key. */
  say(text: string): void {
    this.#message = text
  }

  /** A key was pressed. */
  press(key: Key): void {
    if (key.name === 'interrupt') return this.#deeds.interrupt()
    this.#message = undefined
    if (this.#typed === undefined) this.#command(key)
    else this.#typed = this.#type(key, this.#typed)
  }

  #command(key: Key): void {
    const wasHelp = this.#helps
    this.#helps = false
    if (key.name === 'up') return this.#pane.scroll(1)
    if (key.name === 'down') return this.#pane.scroll(-1)
    if (key.name === 'page up') return this.#pane.scroll(this.#deeds.pageRows())
    if (key.name === 'page down') return this.#pane.scroll(-this.#deeds.pageRows())
    if (key.name === 'newest') return this.#pane.scroll(-Infinity)
    if (key.name !== 'character') return
    if (key.text === 'f') this.#pane.toggleFold()
    if (key.text === 'c') this.#typed = ''
    if (key.text === 'q') this.#deeds.interrupt()
    if (key.text === '?') this.#helps = !wasHelp
  }

  /** What is typed after the key; undefined when it is over. */
  #type(key: Key, typed: string): string | undefined {
    if (key.name === 'escape') return undefined
    if (key.name === 'backspace') return typed.slice(0, -1)
    if (key.name === 'character') return (typed + key.text).slice(0, LONGEST)
    if (key.name !== 'return') return typed
    if (typed !== '') this.#message = this.#deeds.cancel(typed)
    return undefined
  }
}
