import { parseDurationMs, type Duration } from '../core/duration.ts'
import { asRemexError, remexError, withDetails, type RemexError } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import type { RunInfo } from '../core/run-info.ts'
import type { OutputListener } from '../session/invocation.ts'
import type { Dispatcher } from './dispatch.ts'
import { fanOut } from './fan-out.ts'
import type { RunNote, RunRegistry } from './registry.ts'
import { RunAttachment, type AttachLive } from './run-attachment.ts'
import { mergedInfo, type HostFacts } from './run-merge.ts'

/** Results on a host are kept this long. */
const RETENTION: Duration = '168h'

/** How to attach to a run. */
export interface AttachOptions {
  /** The host; found in the registry, else by asking every host, where it is not given. */
  readonly vmId?: string
  /** Bytes of each stream to leave out at the beginning. Default: 0. */
  readonly stdoutOffset?: number
  readonly stderrOffset?: number
  readonly onOutput?: OutputListener
  /** What happens to the connection, in words. */
  readonly onNotice?: (text: string) => void
  /** Leaves the run alone and stops following. */
  readonly signal?: AbortSignal
  /** Capture limit of each stream. Default: `max_output_bytes`. */
  readonly maxOutputBytes?: number
}

/** Which hosts. */
export interface RunScope {
  /** Default: all usable hosts. */
  readonly targets?: string | readonly string[]
  readonly signal?: AbortSignal
  /** A host could not be asked. What our own notes say of its runs is given all the same. */
  readonly onUnreachable?: (vmId: string, error: RemexError) => void
}

/** What was removed from one host. */
export interface Pruned {
  readonly vmId: string
  readonly removed: readonly string[]
  readonly error: RemexError | null
}

/** What {@link Runs} is made of. */
export interface RunsParts {
  readonly dispatcher: Dispatcher
  readonly registry: RunRegistry
  /** The usable hosts of a target expression. Throws as `Remex.hosts` does. */
  readonly select: (targets: string | readonly string[]) => readonly string[]
  readonly parallel: number
  readonly maxOutputBytes: number
}

/** Durable runs: on our own notes, and on the hosts that keep them. */
export class Runs {
  readonly #parts: RunsParts

  constructor(parts: RunsParts) {
    this.#parts = parts
  }

  /** All runs of the hosts, as registry and hosts tell of them. A host that cannot be asked gives what the registry knows. */
  async *list({ targets = 'all', signal, onUnreachable }: RunScope = {}): AsyncGenerator<RunInfo, void> {
    const { registry, select, parallel } = this.#parts
    const notes = await registry.list()
    for await (const infos of fanOut(select(targets), parallel, (vmId) => this.#ofHost(vmId, notes, { signal, onUnreachable }))) yield* infos
  }

  /** One run. Rejects with `RUN_NOT_FOUND`. */
  async show(runId: string, { vmId, signal }: Pick<AttachOptions, 'vmId' | 'signal'> = {}): Promise<RunInfo> {
    const host = vmId ?? (await this.#hostOf(runId, signal))
    const found = (await this.#ofHost(host, await this.#parts.registry.find(runId), { signal })).find((info) => info.runId === runId)
    if (!found) throw notFound(runId)
    return found
  }

  /** Follows a run from the beginning, or from an offset: await it for the result, or iterate it for the output. */
  attach(runId: string, options: AttachOptions = {}): RunAttachment {
    const offsets = { stdout: wholeNumber(options.stdoutOffset), stderr: wholeNumber(options.stderrOffset) }
    return new RunAttachment((live) => this.#attach(runId, options, { ...live, offsets }), offsets)
  }

  /** Ends a run with its whole process tree; of one that has ended it gives the result as it was. Rejects with `RUN_NOT_FOUND`. */
  async cancel(runId: string, { vmId, signal }: Pick<AttachOptions, 'vmId' | 'signal'> = {}): Promise<RunResult> {
    return known(runId, await this.#parts.dispatcher.cancel(vmId ?? (await this.#hostOf(runId, signal)), runId, signal))
  }

  /** Removes runs that are over, from the hosts and from the registry. */
  async *prune(options: RunScope & { readonly olderThan?: Duration; readonly runId?: string } = {}): AsyncGenerator<Pruned, void> {
    const { targets = 'all', signal, runId } = options
    const olderThanMs = runId === undefined || options.olderThan !== undefined ? parseDurationMs(options.olderThan ?? RETENTION, 'olderThan') : 0
    yield* fanOut(this.#parts.select(targets), this.#parts.parallel, async (vmId): Promise<Pruned> => {
      try {
        const removed = await this.#parts.dispatcher.prune(vmId, { runId, olderThanMs }, signal)
        for (const id of removed) await this.#parts.registry.remove(id, vmId).catch(() => undefined)
        if (runId === undefined) await this.#forgetOrphans(vmId, olderThanMs, signal)
        return { vmId, removed, error: null }
      } catch (error) {
        return { vmId, removed: [], error: withDetails(asRemexError(error), { vmId }) }
      }
    })
  }

  /** Removes old notes of runs that their host does not keep. */
  async #forgetOrphans(vmId: string, olderThanMs: number, signal: AbortSignal | undefined): Promise<void> {
    const kept = await this.#parts.dispatcher.hostRuns(vmId, signal)
    const notes = (await this.#parts.registry.list()).filter((note) => note.vmId === vmId && !kept.has(note.runId))
    for (const { runId, startedAt } of notes) {
      if (Date.now() - Date.parse(startedAt) >= olderThanMs) await this.#parts.registry.remove(runId, vmId)
    }
  }

  async #attach(runId: string, options: AttachOptions, live: AttachLive): Promise<RunResult> {
    const { onNotice, signal = live.signal, maxOutputBytes = this.#parts.maxOutputBytes } = options
    const vmId = options.vmId ?? (await this.#hostOf(runId, signal))
    const onOutput: OutputListener = async (stream, chunk) => {
      await live.onOutput?.(stream, chunk)
      await options.onOutput?.(stream, chunk)
    }
    const following = { runId, from: live.offsets, maxOutputBytes, onOutput, onNotice, signal: live.signal ?? signal, budgetMs: Infinity }
    return known(runId, await this.#parts.dispatcher.attach(vmId, following))
  }

  async #hostOf(runId: string, signal: AbortSignal | undefined): Promise<string> {
    const noted = await this.#parts.registry.find(runId)
    if (noted.length > 1) throw remexError('USAGE', `run ${runId} is on several hosts: ${noted.map((note) => note.vmId).join(', ')}`, { hint: 'Name the host: --host <id>' })
    if (noted[0]) return noted[0].vmId
    for await (const info of this.list(signal ? { signal } : {})) if (info.runId === runId) return info.vmId
    throw notFound(runId)
  }

  async #ofHost(vmId: string, notes: readonly RunNote[], { signal, onUnreachable }: Pick<RunScope, 'onUnreachable'> & { signal: AbortSignal | undefined }): Promise<RunInfo[]> {
    const own = notes.filter((note) => note.vmId === vmId)
    const facts: HostFacts = await this.#parts.dispatcher.hostRuns(vmId, signal).catch((error: unknown) => asRemexError(error))
    if (facts instanceof Error) onUnreachable?.(vmId, facts)
    const ids = new Set([...own.map((note) => note.runId), ...(facts instanceof Error ? [] : facts.keys())])
    return [...ids].map((runId) => mergedInfo({ runId, vmId, note: own.find((note) => note.runId === runId), facts }))
  }
}

function known(runId: string, result: RunResult): RunResult {
  if (result.error?.code === 'RUN_NOT_FOUND') throw notFound(runId)
  return result
}

function notFound(runId: string): RemexError {
  return remexError('RUN_NOT_FOUND', `no host knows a run ${runId}`)
}

function wholeNumber(offset = 0): number {
  if (Number.isSafeInteger(offset) && offset >= 0) return offset
  throw remexError('USAGE', `offset: ${String(offset)} is not a number of bytes`)
}

