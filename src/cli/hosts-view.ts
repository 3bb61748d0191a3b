import type { ErrorCode } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'
import { painter, type Style } from './colour.ts'
import { complain } from './complaint.ts'
import { notice, type Door } from './door.ts'
import { PrefixedLines } from './prefixed-lines.ts'
import type { RunView } from './run-report.ts'
import type { Sink } from './sink.ts'
import { Tally } from './tally.ts'
import { incompleteText, verdictText } from './verdict.ts'

/** One colour after another, so that neighbours differ. */
const COLOURS: readonly Style[] = ['cyan', 'green', 'yellow', 'blue', 'magenta']

type Stream = 'stdout' | 'stderr'

/** Several hosts: their lines as they come, each with its host in front, and a summary on stderr. */
export function hostsView(door: Door, ids: readonly string[]): RunView {
  const lines = new HostLines(door, ids)
  const tally = new Tally()
  const hinted = new Set<ErrorCode>()
  return {
    onOutput: (vmId, stream, chunk) => lines.add(vmId, stream, chunk),
    finished: async (result) => {
      await lines.end(result.vmId)
      const left = isLeft(door, result)
      tally.add(result, left)
      if (door.stop.silent) return
      if (left) notice(door, `${result.vmId}: left, the run goes on; come back to it: remex runs attach ${result.runId} --host ${result.vmId}`)
      else tell(door, result, hinted)
    },
    end: () => {
      if (!door.stop.silent) for (const line of tally.lines()) notice(door, line)
    },
  }
}

/** Whether the run goes on without us. */
function isLeft({ stop }: Door, { error, killed }: RunResult): boolean {
  return stop.follows && stop.status !== undefined && error?.code === 'CANCELLED' && error.mayHaveRun && killed === null
}

/** What a person should know of a host at once. The same hint is given once. */
function tell(door: Door, { vmId, error, attempts, engine, killed, outputIncomplete }: RunResult, hinted: Set<ErrorCode>): void {
  if (error && error.code !== 'CANCELLED') {
    complain(door, error, { attempts, engine, withoutHint: hinted.has(error.code) })
    hinted.add(error.code)
  }
  if (killed) notice(door, `${vmId}: ${verdictText(killed)}`)
  if (outputIncomplete && (door.stop.follows || !killed)) notice(door, `${vmId}: ${incompleteText(door.stop.follows)}`)
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
