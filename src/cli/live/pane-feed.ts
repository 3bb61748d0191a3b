import { PrefixedLines } from '../prefixed-lines.ts'
import type { LinesPane } from './lines-pane.ts'

const STREAMS = ['stdout', 'stderr'] as const

type Stream = (typeof STREAMS)[number]

/** Makes whole lines of what the hosts write, for the pane. */
export class PaneFeed {
  readonly #pane: LinesPane
  readonly #open = new Map<string, Record<Stream, PrefixedLines>>()

  constructor(pane: LinesPane) {
    this.#pane = pane
  }

  /** A host wrote this. */
  add(vmId: string, stream: Stream, chunk: Buffer): void {
    let lines = this.#open.get(vmId)
    if (!lines) this.#open.set(vmId, (lines = { stdout: new PrefixedLines(''), stderr: new PrefixedLines('') }))
    this.#pass(vmId, stream, lines[stream].add(chunk))
  }

  /** A host writes no more. */
  end(vmId: string): void {
    const lines = this.#open.get(vmId)
    this.#open.delete(vmId)
    if (lines) for (const stream of STREAMS) this.#pass(vmId, stream, lines[stream].end())
  }

  #pass(vmId: string, stream: Stream, text: string): void {
    if (text !== '') for (const line of text.slice(0, -1).split('\n')) this.#pane.add(vmId, stream, line)
  }
}
