import { printable } from '../core/printable.ts'
import { painter, type Style } from './colour.ts'
import type { Door } from './door.ts'
import { HostNotes } from './host-notes.ts'
import { PrefixedLines } from './prefixed-lines.ts'
import type { RunView } from './run-report.ts'
import type { Sink } from './sink.ts'

export { isLeft } from './host-notes.ts'

/** One colour after another, so that neighbours differ. */
const COLOURS: readonly Style[] = ['cyan', 'green', 'yellow', 'blue', 'magenta']

type Stream = 'stdout' | 'stderr'

/** Several hosts: their lines as they come, each with its host in front, and a summary on stderr. */
export function hostsView(door: Door, ids: readonly string[]): RunView {
  const lines = new HostLines(door, ids)
  const notes = new HostNotes(door)
  return {
    onOutput: (vmId, stream, chunk) => lines.add(vmId, stream, chunk),
    finished: async (result) => {
      await lines.end(result.vmId)
      notes.add(result)
    },
    end: () => notes.end(),
  }
}

/** The lines of all hosts, with aligned prefixes. */
class HostLines {
  readonly #door: Door
  readonly #ids: readonly string[]
  readonly #width: number
  readonly #open = new Map<string, Record<Stream, PrefixedLines>>()

  constructor(door: Door, ids: readonly string[]) {
    this.#door = door
    this.#ids = ids
    this.#width = Math.max(...ids.map((id) => id.length)) + 2
  }

  add(vmId: string, stream: Stream, chunk: Buffer): void | Promise<void> {
    const text = this.#linesOf(vmId)[stream].add(chunk)
    return text === '' ? undefined : this.#door[stream].write(text)
  }

  async end(vmId: string): Promise<void> {
    const lines = this.#open.get(vmId)
    this.#open.delete(vmId)
    for (const stream of ['stdout', 'stderr'] as const) {
      const text = lines?.[stream].end() ?? ''
      if (text !== '') await this.#door[stream].write(text)
    }
  }

  #linesOf(vmId: string): Record<Stream, PrefixedLines> {
    const known = this.#open.get(vmId)
    if (known) return known
    const made = { stdout: new PrefixedLines(this.#prefix(vmId, this.#door.stdout)), stderr: new PrefixedLines(this.#prefix(vmId, this.#door.stderr)) }
    this.#open.set(vmId, made)
    return made
  }

  #prefix(vmId: string, sink: Sink): string {
    const style = COLOURS[this.#ids.indexOf(vmId) % COLOURS.length] ?? 'cyan'
    return painter(this.#door, sink)(printable(`${vmId}:`), style) + ' '.repeat(this.#width - vmId.length - 1)
  }
}
