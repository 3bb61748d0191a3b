import { tmpdir } from 'node:os'
import { localFileError } from '../../core/atomic-file.ts'
import { remexError } from '../../core/errors.ts'
import { foldIds } from '../../core/fold.ts'
import type { RunResult } from '../../core/outcome.ts'
import { printable } from '../../core/printable.ts'
import { complain } from '../complaint.ts'
import type { Door } from '../door.ts'
import { countedBytes, HostNotes, isLeft } from '../host-notes.ts'
import { oneHostView } from '../one-host-view.ts'
import type { RunView } from '../run-report.ts'
import { reasonOf } from '../verdict.ts'
import { GroupPrinter } from './group-printer.ts'
import { isDamaged, OutputGroups, type Output, type OutputGroup } from './output-groups.ts'
import { SpoolStore } from './spool-store.ts'
import { Spool } from './spool.ts'

/** So many errors of a kind are told; the headers say of which hosts the others are. */
const MOST_ERRORS = 3

/** Prints nothing while it runs; at the end equal output once, with its hosts. `diff`: only how the others differ from the largest group. */
export function gatherView(door: Door, ids: readonly string[], { diff }: { readonly diff: boolean }): RunView {
  const gathering = new Gathering(door, ids, diff)
  return {
    onOutput: (vmId, stream, chunk) => gathering.outputOf(vmId)[stream].add(chunk),
    finished: (result) => gathering.finished(result),
    end: () => gathering.print(),
    close: () => gathering.close(),
    failed: () => gathering.failed,
  }
}

class Gathering {
  readonly #door: Door
  readonly #diff: boolean
  readonly #isOne: boolean
  readonly #store = new SpoolStore(tmpdir())
  readonly #open = new Map<string, Output>()
  readonly #groups: OutputGroups
  /** Their output is not in them. */
  readonly #results: RunResult[] = []
  #failed = false

  constructor(door: Door, ids: readonly string[], diff: boolean) {
    this.#door = door
    this.#diff = diff
    this.#isOne = ids.length === 1
    this.#groups = new OutputGroups(ids)
  }

  /** Whether the output of a host could not be kept, so that it was not printed. */
  get failed(): boolean {
    return this.#failed
  }

  outputOf(vmId: string): Output {
    const known = this.#open.get(vmId)
    if (known) return known
    const made = { stdout: new Spool(this.#store), stderr: new Spool(this.#store) }
    this.#open.set(vmId, made)
    return made
  }

  async finished(result: RunResult): Promise<void> {
    const { vmId, check } = result
    this.#results.push(result)
    // What a check said is told with its result.
    if (check) return
    const output = await this.#lastAttempt(result, this.outputOf(vmId))
    this.#open.delete(vmId)
    const reason = isLeft(this.#door, result) ? 'left running' : result.state === 'succeeded' ? undefined : reasonOf(result)
    await this.#groups.add(vmId, reason, output)
  }

  async print(): Promise<void> {
    const groups = this.#groups.sorted()
    const printer = new GroupPrinter(this.#door)
    const reference = this.#diff ? groups.find(({ reason }) => reason === undefined) : undefined
    if (reference) await printer.compareWith(reference)
    for (const group of reference ? [reference, ...groups.filter((group) => group !== reference)] : groups) {
      if (this.#door.stop.silent) return
      await printer.print(group)
    }
    await this.#tell(groups)
  }

  async close(): Promise<void> {
    await this.#store[Symbol.asyncDispose]()
  }

  async #tell(groups: readonly OutputGroup[]): Promise<void> {
    const one = oneHostView(this.#door)
    const many = new HostNotes(this.#door, MOST_ERRORS)
    for (const result of this.#results) await (this.#isOne ? one.finished(result) : many.add(result))
    for (const group of groups) this.#complain(group)
    if (!this.#isOne) many.end()
  }

  #complain({ ids, output }: OutputGroup): void {
    if (!isDamaged(output)) return
    this.#failed = true
    const { code, message } = localFileError(output.stdout.error ?? output.stderr.error, this.#store.folder)
    complain(this.#door, remexError(code, `the output of ${printable(foldIds(ids))} could not be kept: ${message}`, { hint: 'Name a directory with more space with TMPDIR, or write to files with --out-dir.' }))
  }

  async #lastAttempt(result: RunResult, { stdout, stderr }: Output): Promise<Output> {
    const counted = countedBytes(this.#door, result)
    return { stdout: await this.#tail(stdout, counted.stdout), stderr: await this.#tail(stderr, counted.stderr) }
  }

  async #tail(spool: Spool, sizeBytes: number): Promise<Spool> {
    if (spool.sizeBytes <= sizeBytes || spool.error) return spool
    const tail = new Spool(this.#store)
    for await (const part of spool.read(spool.sizeBytes - sizeBytes)) await tail.add(part)
    await spool.drop()
    return tail
  }
}
