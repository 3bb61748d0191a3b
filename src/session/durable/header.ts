import type { OutputListener } from '../invocation.ts'
import { HEADER_END } from './programs.ts'

const MOST_HEADER_BYTES = 64 * 1024
const END = Buffer.from(`\n${HEADER_END}\n`)

/** Takes the header off the front of standard output; all else goes on. */
export class HeaderSplitter {
  /** The header's lines; undefined until it is whole. */
  lines: readonly string[] | undefined
  readonly #next: OutputListener
  #held: Buffer = Buffer.alloc(0)

  constructor(next: OutputListener) {
    this.#next = next
  }

  readonly take: OutputListener = (stream, chunk) => {
    if (stream === 'stderr' || this.lines) return this.#next(stream, chunk)
    this.#held = Buffer.concat([this.#held, chunk])
    const at = this.#held.indexOf(END)
    if (at < 0) {
      if (this.#held.length > MOST_HEADER_BYTES) this.#held = this.#held.subarray(0, MOST_HEADER_BYTES)
      return
    }
    this.lines = this.#held.toString('utf8', 0, at).split('\n')
    const rest = this.#held.subarray(at + END.length)
    this.#held = Buffer.alloc(0)
    return rest.length > 0 ? this.#next('stdout', rest) : undefined
  }
}
