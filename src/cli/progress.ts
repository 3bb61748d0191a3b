import { formatBytes } from './byte-size.ts'
import type { Door } from './door.ts'

/** A transfer that is over before this shows no bar. */
const QUIET_MS = 500
const EVERY_MS = 100
const BAR_WIDTH = 24

interface Share {
  readonly doneBytes: number
  readonly totalBytes: number | undefined
}

/** One line on the terminal that says how far all transfers together are; nothing where there is no terminal. */
export class Progress {
  readonly #door: Door
  readonly #hosts: number
  readonly #shares = new Map<string, Share>()
  readonly #startMs = performance.now()
  readonly #wanted: boolean
  #shownMs = 0
  #finished = 0

  constructor(door: Door, hosts: number) {
    const { globals, stderr } = door
    this.#door = door
    this.#hosts = hosts
    this.#wanted = stderr.isTerminal && !globals.quiet && !globals.json
  }

  /** A host's transfer has come so far. */
  update(vmId: string, doneBytes: number, totalBytes: number | undefined): void {
    if (!this.#wanted) return
    this.#shares.set(vmId, { doneBytes, totalBytes })
    const nowMs = performance.now()
    if (nowMs - this.#startMs < QUIET_MS || nowMs - this.#shownMs < EVERY_MS) return
    this.#shownMs = nowMs
    void this.#door.stderr.write(`\r${this.#text(nowMs).slice(0, this.#door.stderr.columns - 1)}\u001b[K`)
  }

  /** A host is done; the line goes, so that others can be printed. */
  finished(): void {
    this.#finished++
    if (this.#shownMs > 0) void this.#door.stderr.write('\r\u001b[K')
  }

  #text(nowMs: number): string {
    const shares = [...this.#shares.values()]
    const done = shares.reduce((sum, share) => sum + share.doneBytes, 0)
    const total = this.#total(shares)
    const rate = `${formatBytes((done * 1000) / (nowMs - this.#startMs))}/s`
    const hosts = this.#hosts > 1 ? `  ${this.#finished}/${this.#hosts} hosts` : ''
    if (total === undefined) return `${formatBytes(done)}  ${rate}${hosts}`
    const part = Math.min(1, total === 0 ? 1 : done / total)
    const bar = '#'.repeat(Math.floor(part * BAR_WIDTH)).padEnd(BAR_WIDTH, '.')
    return `[${bar}] ${Math.floor(part * 100)}%  ${formatBytes(done)} of ${formatBytes(total)}  ${rate}${hosts}`
  }

  /** Hosts that have not begun are taken to be like those that have. */
  #total(shares: readonly Share[]): number | undefined {
    let known = 0
    for (const { totalBytes } of shares) {
      if (totalBytes === undefined) return undefined
      known += totalBytes
    }
    return (known / shares.length) * this.#hosts
  }
}
