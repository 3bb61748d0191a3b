import { printable } from '../core/printable.ts'

/** The longest text that sudo may print before the command starts: its lecture and warnings. */
const LONGEST_WAIT = 64 * 1024

type Consume = (chunk: Buffer) => void | Promise<void>

/**
 * Finds the line by which a command under sudo says that it has started, and takes it out of the stream.
 * Without the line the command never ran, whatever exit status sudo gave. What comes before it is sudo's own
 * and is passed on.
 */
export class StartedMark {
  readonly #mark: Buffer
  #held: Buffer = Buffer.alloc(0)
  #seen: boolean

  /** `mark` empty: nothing to look for, everything passes. */
  constructor(mark: string) {
    this.#mark = Buffer.from(mark.trimEnd())
    this.#seen = mark === ''
  }

  /** Whether the command has started. */
  get seen(): boolean {
    return this.#seen
  }

  /** Takes a chunk of the stream; gives on what is not the mark. */
  pass(chunk: Buffer, consume: Consume): void | Promise<void> {
    if (this.#seen) return consume(chunk)
    this.#held = Buffer.concat([this.#held, chunk])
    const at = this.#held.indexOf(this.#mark)
    const lineEnd = at < 0 ? -1 : this.#held.indexOf(0x0a, at)
    if (lineEnd >= 0) {
      this.#seen = true
      const around = Buffer.concat([this.#held.subarray(0, at), this.#held.subarray(lineEnd + 1)])
      this.#held = Buffer.alloc(0)
      return around.length > 0 ? consume(around) : undefined
    }
    if (this.#held.length > LONGEST_WAIT) this.#held = this.#held.subarray(-LONGEST_WAIT)
    return undefined
  }

  /** The stream has ended: gives on what was held back. */
  rest(consume: Consume): void | Promise<void> {
    if (this.#held.length > 0) return consume(this.#held)
  }

  /** What sudo said instead, for the error; safe for a terminal. */
  firstLine(): string {
    const line = this.#held.toString('utf8').split('\n').find((text) => text.trim() !== '') ?? ''
    return printable(line.trim()).slice(0, 200)
  }
}
