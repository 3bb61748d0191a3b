import { StringDecoder } from 'node:string_decoder'
import { printable } from '../core/printable.ts'

/** A line longer than this is printed in pieces, so that a host that never ends its line cannot fill our memory. */
const LONGEST_LINE = 16 * 1024

/**
 * Turns the chunks of one stream of one host into whole lines with a prefix. Bytes that are no UTF-8 become U+FFFD,
 * control characters become visible, so that no host can pass for another.
 */
export class PrefixedLines {
  readonly #prefix: string
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** The lines that `chunk` completes, as text to print; empty where it completes none. */
  add(chunk: Buffer): string {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n')
    this.#rest = lines.pop() ?? ''
    const whole = lines.map((line) => this.#line(line)).join('')
    if (this.#rest.length <= LONGEST_LINE) return whole
    const [pieces, rest] = cut(this.#rest)
    this.#rest = rest
    return whole + pieces.map((piece) => this.#show(piece)).join('')
  }

  /** What is left at the end, as a line of its own; empty where nothing is. */
  end(): string {
    const rest = this.#rest + this.#decoder.end()
    this.#rest = ''
    return rest === '' ? '' : this.#line(rest)
  }

  #line(line: string): string {
    // A terminal's line ends in CR LF.
    const text = line.endsWith('\r') ? line.slice(0, -1) : line
    if (text.length <= LONGEST_LINE) return this.#show(text)
    const [pieces, rest] = cut(text)
    return [...pieces, rest].map((piece) => this.#show(piece)).join('')
  }

  #show(text: string): string {
    return `${this.#prefix}${printable(text)}\n`
  }
}

/** Full pieces, and what is left; never within a character. */
function cut(text: string): [pieces: string[], rest: string] {
  const pieces: string[] = []
  let from = 0
  while (text.length - from > LONGEST_LINE) {
    const last = text.charCodeAt(from + LONGEST_LINE - 1)
    const size = last >= 0xd800 && last < 0xdc00 ? LONGEST_LINE - 1 : LONGEST_LINE
    pieces.push(text.slice(from, from + size))
    from += size
  }
  return [pieces, text.slice(from)]
}
