import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'

/** What a name may hold: the SHA-256 of a content, or null for nothing. */
export type Content = string | null

/** SHA-256, hexadecimal. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

const LOOK_EVERY_MS = 2

/** Watches a file name that may only ever hold one of a few contents, each of them whole. */
export class FinalName {
  /** What it held that it must not, in words. */
  readonly wrong: string[] = []
  readonly #path: string
  readonly #mayHold: readonly Content[]
  #looks = 0
  /** Which file was there, in which state, when it was last found to be right. */
  #known: string | undefined

  constructor(path: string, mayHold: readonly Content[]) {
    this.#path = path
    this.#mayHold = mayHold
  }

  /** How often it was looked at. */
  get looks(): number {
    return this.#looks
  }

  /** What it holds now; noted as wrong where it must not. Read again only where the file changed, unless `anew`. */
  look(anew = true): Content | undefined {
    this.#looks++
    const file = openIfThere(this.#path)
    if (file === undefined) return this.#judge(null, 'nothing')
    try {
      const { ino, size, mtimeNs, ctimeNs } = fstatSync(file, { bigint: true })
      const state = `${ino} ${size} ${mtimeNs} ${ctimeNs}`
      if (!anew && state === this.#known) return undefined
      const bytes = readFileSync(file)
      this.#known = state
      return this.#judge(sha256(bytes), `${bytes.length} bytes`)
    } finally {
      closeSync(file)
    }
  }

  /** Looks every few milliseconds until it is stopped. */
  watch(): { stop: () => void } {
    const timer = setInterval(() => this.look(false), LOOK_EVERY_MS)
    return { stop: () => clearInterval(timer) }
  }

  #judge(content: Content, words: string): Content {
    if (!this.#mayHold.includes(content)) this.wrong.push(`held ${words} that it must never hold, at look ${this.#looks}`)
    return content
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'code') === 'ENOENT') return undefined
    throw error
  }
}
