import { foldIds } from '../../core/fold.ts'

/** So many lines are kept, the newest. */
const KEPT = 2000
/** More of a line than any terminal shows. */
const LONGEST = 2000

type Stream = 'stdout' | 'stderr'

/** A line as it is shown: who wrote it, and what. */
export interface PaneRow {
  /** One id, or several folded. */
  readonly hosts: string
  readonly count: number
  readonly stream: Stream
  readonly text: string
}

interface Fold {
  readonly ids: Set<string>
  readonly stream: Stream
  readonly text: string
}

/** The newest lines of all hosts, a window of which is shown. */
export class LinesPane {
  readonly #lines: PaneRow[] = []
  #added = 0
  #folded = false
  #folds: { readonly at: number; readonly folds: readonly Fold[] } = { at: 0, folds: [] }
  /** Rows below the window. */
  #back = 0
  /** What was numbered when the window was last looked through: rows that come later must not move it. */
  #seen = 0

  /** Adds a whole line of a host. */
  add(vmId: string, stream: Stream, text: string): void {
    // A piece of a string holds all of it in memory; a copy does not.
    const kept = text.length > LONGEST ? Buffer.from(text.slice(0, LONGEST)).toString() : text
    this.#lines.push({ hosts: vmId, count: 1, stream, text: kept })
    this.#added++
    if (this.#lines.length > KEPT) this.#lines.shift()
  }

  /** Whether equal lines of several hosts are shown as one. */
  get folded(): boolean {
    return this.#folded
  }

  /** Rows that are newer than those of the window. */
  get below(): number {
    return this.#back
  }

  /** Folds equal lines, or shows each again; from the newest. */
  toggleFold(): void {
    this.#folded = !this.#folded
    this.#back = 0
  }

  /** Moves the window back by so many rows, or forth by a negative number of them. */
  scroll(rows: number): void {
    if (this.#back === 0) this.#seen = this.#numbered()
    this.#back = Math.max(0, this.#back + rows)
  }

  /** The rows of a window of this height, the newest last. */
  rows(height: number): readonly PaneRow[] {
    const all: readonly (PaneRow | Fold)[] = this.#folded ? this.#foldedLines() : this.#lines
    if (this.#back > 0) {
      const numbered = this.#numbered()
      this.#back = Math.max(0, Math.min(this.#back + numbered - this.#seen, all.length - height))
      this.#seen = numbered
    }
    const end = all.length - this.#back
    return all.slice(Math.max(0, end - height), end).map((row) => ('hosts' in row ? row : { ...row, hosts: foldIds([...row.ids]), count: row.ids.size }))
  }

  #numbered(): number {
    return this.#folded ? this.#foldedLines().length : this.#added
  }

  /** In the order in which their first lines came, so that a fold stays where it is while hosts join it. */
  #foldedLines(): readonly Fold[] {
    if (this.#folds.at === this.#added) return this.#folds.folds
    const folds = new Map<string, Fold>()
    for (const { hosts, stream, text } of this.#lines) {
      const key = `${stream} ${text}`
      const fold = folds.get(key)
      if (fold) fold.ids.add(hosts)
      else folds.set(key, { ids: new Set([hosts]), stream, text })
    }
    this.#folds = { at: this.#added, folds: [...folds.values()] }
    return this.#folds.folds
  }
}
