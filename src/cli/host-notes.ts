import type { ErrorCode } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import { complain } from './complaint.ts'
import { notice, type Door } from './door.ts'
import { Tally } from './tally.ts'
import { checkLines, incompleteText, verdictText } from './verdict.ts'

/** What a person is told on stderr of a run on several hosts: of each what they should know, and a summary at the end. */
export class HostNotes {
  readonly #door: Door
  readonly #mostOfOne: number
  readonly #tally = new Tally()
  readonly #told = new Map<ErrorCode, number>()

  /** `mostOfOne`: how many errors with one code are told; the others are counted. */
  constructor(door: Door, mostOfOne = Infinity) {
    this.#door = door
    this.#mostOfOne = door.globals.verbose ? Infinity : mostOfOne
  }

  /** A host is done. */
  add(result: RunResult): void {
    const left = isLeft(this.#door, result)
    this.#tally.add(result, left)
    // Whoever reads us has gone: there is nobody to tell.
    if (this.#door.stop.silent) return
    if (left) notice(this.#door, `${result.vmId}: left, the run goes on; come back to it: remex runs attach ${result.runId} --host ${result.vmId}`)
    else this.#tell(result)
  }

  /** All hosts are done. */
  end(): void {
    if (this.#door.stop.silent) return
    for (const [code, count] of this.#told) {
      const more = count - this.#mostOfOne
      if (more > 0) notice(this.#door, `and ${more} more with ${code}; --verbose tells of each`)
    }
    for (const line of this.#tally.lines()) notice(this.#door, line)
  }

  #tell(result: RunResult): void {
    const { vmId, error, attempts, engine, killed, outputIncomplete, check } = result
    const door = this.#door
    if (check) for (const line of checkLines(result)) notice(door, line)
    if (error && error.code !== 'CANCELLED') {
      const before = this.#told.get(error.code) ?? 0
      this.#told.set(error.code, before + 1)
      // The same hint is given once.
      if (before < this.#mostOfOne) complain(door, error, { attempts, engine, withoutHint: before > 0 })
    }
    if (killed) notice(door, `${vmId}: ${verdictText(killed)}`)
    if (outputIncomplete && (door.stop.follows || !killed)) notice(door, `${vmId}: ${incompleteText(door.stop.follows)}`)
  }
}

/** Whether the run goes on without us. */
export function isLeft({ stop }: Door, { error, killed }: RunResult): boolean {
  return stop.follows && stop.status !== undefined && error?.code === 'CANCELLED' && error.mayHaveRun && killed === null
}

/** How many bytes of each stream count: of a run that was repeated, what its last attempt wrote. A durable run is not repeated, but followed again. */
export function countedBytes({ stop }: Door, { attempts, stdoutBytes, stderrBytes }: RunResult): { readonly stdout: number; readonly stderr: number } {
  return attempts <= 1 || stop.follows ? { stdout: Infinity, stderr: Infinity } : { stdout: stdoutBytes, stderr: stderrBytes }
}
