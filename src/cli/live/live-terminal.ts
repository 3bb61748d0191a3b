import { painter } from '../colour.ts'
import type { Door } from '../door.ts'
import type { Diversion } from '../sink.ts'
import { Journal } from './journal.ts'
import { Keyboard } from './keyboard.ts'
import type { Key } from './keys.ts'
import type { Row } from './rows.ts'
import { Screen } from './screen.ts'

/** What stands before all that we say ourselves. */
const OURS = 'remex: '

/** What a live terminal tells of. */
export interface TerminalEvents {
  readonly onKey: (key: Key) => void
  /** Something of our own is printed, which is no line of a host. */
  readonly onNotice: (text: string) => void
  /** Another program may have written on it. */
  readonly onReturn: () => void
  /** What is printed cannot be kept any more. */
  readonly onFailed: (error: unknown) => void
}

/**
 * The terminal while it shows a screen. What others print meanwhile is kept, and printed when it is a terminal as before:
 * by {@link close}, or however else the process ends.
 */
export class LiveTerminal {
  readonly #door: Door
  readonly #journal: Journal
  readonly #keyboard: Keyboard
  readonly #screen: Screen
  readonly #diversions: readonly Diversion[]
  readonly #out: Diversion
  readonly #onReturn: () => void
  #left = false

  /** Throws where there is no terminal, or nowhere to keep what is printed. */
  constructor(door: Door, { onKey, onNotice, onReturn, onFailed }: TerminalEvents) {
    this.#door = door
    this.#journal = Journal.open(onFailed)
    try {
      this.#keyboard = Keyboard.open(onKey)
    } catch (error) {
      void this.#journal.close()
      throw error
    }
    this.#onReturn = () => {
      this.#keyboard.take()
      this.#screen.forget()
      onReturn()
    }
    // Both are one terminal, so one of them can print for both, in the order in which it came.
    this.#out = door.stdout.divert((data) => this.#journal.append(data))
    const told = door.stderr.divert((data) => {
      if (typeof data === 'string' && data.startsWith(OURS)) onNotice(data.slice(OURS.length).trimEnd())
      return this.#journal.append(data)
    })
    this.#diversions = [this.#out, told]
    this.#screen = new Screen((text) => void this.#out.past(text))
    process.once('exit', this.#leaveNow)
    process.on('SIGCONT', this.#onReturn)
    this.#screen.enter()
  }

  /** Shows these rows, which fit. */
  draw(rows: readonly Row[]): void {
    const paint = painter(this.#door, this.#door.stdout)
    this.#screen.draw(rows.map((row) => row.map(({ text, style }) => (style ? paint(text, style) : text)).join('')))
  }

  /** The next frame is written whole. */
  forget(): void {
    this.#screen.forget()
  }

  /** Gives the terminal back, and prints all that was kept. Never rejects. */
  async close(): Promise<void> {
    this.#leave()
    try {
      await this.#journal.replay((data) => this.#out.past(data), () => this.#undivert())
    } catch (error) {
      this.#undivert()
      void this.#door.stderr.line(`${OURS}some of the output is lost, it cannot be read back: ${error instanceof Error ? error.message : String(error)}`)
    }
    process.off('exit', this.#leaveNow)
    await this.#journal.close()
  }

  #leave(): void {
    if (this.#left) return
    this.#left = true
    process.off('SIGCONT', this.#onReturn)
    this.#screen.leave()
    this.#keyboard.release()
  }

  #undivert(): void {
    for (const diversion of this.#diversions) diversion.end()
  }

  /** A terminal is written to at once, also by a process that ends. */
  readonly #leaveNow = (): void => {
    this.#leave()
    this.#journal.replayNow((data) => void this.#out.past(data))
    this.#undivert()
  }
}
