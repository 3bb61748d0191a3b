/** The other screen, without a cursor and without wrapping: what is misjudged as too wide is cut. Source: xterm control sequences. */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l'
const LEAVE = '\u001b[0m\u001b[?7h\u001b[?25h\u001b[?1049l'
const CLEAR = '\u001b[2J'

/** A terminal as a screen of rows. Of each frame only the rows that changed are written, all in one write. */
export class Screen {
  readonly #write: (text: string) => void
  /** Undefined: nothing is known of what is there. */
  #shown: readonly string[] | undefined

  constructor(write: (text: string) => void) {
    this.#write = write
  }

  /** Takes the terminal's other screen. */
  enter(): void {
    this.#write(ENTER)
    this.#shown = undefined
  }

  /** Gives the terminal back as it was. */
  leave(): void {
    this.#write(LEAVE)
  }

  /** Has the next frame written whole: the terminal's size changed, or others have written. */
  forget(): void {
    this.#shown = undefined
  }

  /** Shows these rows, which must fit. */
  draw(rows: readonly string[]): void {
    const before = this.#shown
    const changed = rows.flatMap((row, index) => (before?.[index] === row ? [] : [`\u001b[${index + 1};1H${row}\u001b[K`]))
    this.#shown = rows
    const text = (before ? '' : CLEAR) + changed.join('')
    if (text !== '') this.#write(text)
  }
}
