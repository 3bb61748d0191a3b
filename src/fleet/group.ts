import { setMaxListeners } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import type { Duration } from '../core/duration.ts'
import { remexError } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import { printable } from '../core/printable.ts'
import type { TransferResult } from '../core/transfer-result.ts'
import type { BatchOptions } from './batches.ts'
import { fanOut } from './fan-out.ts'
import { runOnGroup, type GroupCall, type GroupParts } from './group-run.ts'
import { commandHash, type Operation } from './operations.ts'
import { restOf, type Rest } from './retry.ts'
import type { BatchStart } from './rollout.ts'
import type { StartResult } from './start-result.ts'
import type { Command, RunOptions, RunRequest, ScriptOptions, ScriptRequest, TransferOptions, TransferRequest, TreeChange } from './requests.ts'

/** How many hosts at once, and what to hear of them. */
export interface GroupOptions {
  /** Hosts at a time. Default: `max_parallel_commands`, 32. */
  readonly parallel?: number
  /** A host's turn has come. */
  readonly onStart?: (vmId: string) => void
}

/** A run that goes through the hosts in batches. */
export interface RolloutOptions extends BatchOptions {
  /** Wait so long between batches, and before each check. Default: not at all. */
  readonly pause?: Duration | undefined
  /**
   * Shell text that is run, with the surroundings of the run, on the hosts of a batch that succeeded, after the pause. A host
   * where it fails counts as failed, and has one more result, with `check`. Default: none.
   */
  readonly check?: string | undefined
  /** A batch begins. */
  readonly onBatch?: (batch: BatchStart) => void
  /** A check begins on a host, or has ended there. */
  readonly onCheck?: (vmId: string, state: 'started' | 'ended') => void
  /** How a run on several hosts fared was noted under this id, so that {@link HostGroup.retrying} can take up the rest. */
  readonly onNoted?: (operationId: string) => void
}

/** Options of a command on several hosts. */
export interface GroupRunOptions extends Omit<RunOptions, 'onOutput'>, GroupOptions, RolloutOptions {
  /** Gets every byte of every host as it arrives; a promise holds that host's output back. */
  readonly onOutput?: (vmId: string, stream: 'stdout' | 'stderr', chunk: Buffer) => void | Promise<void>
  /** A host's own signal, besides `signal`: its abort cancels the run on this host alone. Default: it has none. */
  readonly signalOf?: (vmId: string) => AbortSignal | undefined
}

/** Options of a script on several hosts. */
export type GroupScriptOptions = GroupRunOptions & Omit<ScriptOptions, keyof RunOptions>

/** Options of a transfer with several hosts. */
export interface GroupTransferOptions extends Omit<TransferOptions, 'onProgress' | 'onChange'>, GroupOptions {
  /** Called with the bytes that are through so far for a host. */
  readonly onProgress?: (vmId: string, doneBytes: number, totalBytes: number | undefined) => void
  /** With `dryRun`: told what would be done at a host. */
  readonly onChange?: (vmId: string, change: TreeChange) => void
}

/** The operation that a group is the rest of. */
interface Earlier extends Pick<Rest, 'runIds'>, Pick<Operation, 'id' | 'finishedAt'> {}

/** Several hosts at once. Every iteration gives each host's report as it finishes and never throws for a host. */
export class HostGroup {
  /** In the order of the configuration. */
  readonly ids: readonly string[]
  /** Hosts of a named group, or of `all`, that may not be used, with the reason. */
  readonly leftOut: readonly { readonly id: string; readonly reason: string }[]
  readonly #parts: GroupParts & { readonly parallel: number }
  readonly #dispatcher: GroupParts['dispatcher']
  readonly #parallel: number
  readonly #earlier: Earlier | undefined

  /** `earlier`: the operation of which these hosts are the rest. Default: none. */
  constructor(selection: Pick<HostGroup, 'ids' | 'leftOut'>, parts: GroupParts & { readonly parallel: number }, earlier?: Earlier) {
    this.ids = selection.ids
    this.leftOut = selection.leftOut
    this.#parts = parts
    this.#dispatcher = parts.dispatcher
    this.#parallel = parts.parallel
    this.#earlier = earlier
  }

  /**
   * Runs a command on every host, and gives each host's result once; one more, with `check`, where a check failed.
   * Throws `USAGE` for a call that is wrong.
   */
  async *run(command: Command, options: GroupRunOptions = {}): AsyncGenerator<RunResult, void> {
    const shared = await this.#shareable(options)
    const requestOf = (vmId: string): RunRequest => ({ operation: 'run', command, options: this.#again(vmId, ofHost(vmId, shared)) })
    yield* this.#roll(shared, { requestOf, commandHash: () => commandHash({ operation: 'run', command, options: {} }) })
  }

  /** Runs a script on every host. Results and errors as {@link run}. */
  async *script(path: string, options: GroupScriptOptions = {}): AsyncGenerator<RunResult, void> {
    const shared = await this.#shareable(options)
    const requestOf = (vmId: string): ScriptRequest => ({ operation: 'script', path, options: this.#again(vmId, ofHost(vmId, shared)) })
    const { args, interpreter, remote } = options
    yield* this.#roll(shared, { requestOf, commandHash: () => commandHash({ operation: 'script', path, options: { args, interpreter, remote } }) })
  }

  /**
   * Those hosts of the group that did not succeed in an earlier operation of the same command, as a group whose runs belong to
   * that operation; perhaps none. Where the command may have run, a host is in it only if it can be attached to, or if running
   * it twice is harmless (`idempotent`); the others are `unsure`. Rejects with `RUN_NOT_FOUND`, and with `USAGE` for another command.
   */
  async retrying(operationId: string, request: RunRequest | ScriptRequest): Promise<{ readonly group: HostGroup; readonly unsure: Rest['unsure'] }> {
    const operation = await this.#parts.operations.read(operationId)
    if (!operation) {
      throw remexError('RUN_NOT_FOUND', `there is no note of an operation ${printable(operationId)}`, {
        hint: 'Its id is in the summary of the run, and with --json its op_id. The newest 200 are kept, for 30 days.',
      })
    }
    if (operation.commandHash !== commandHash(request)) {
      throw remexError('USAGE', `operation ${operationId} ran another command`, { hint: 'Only the same command can be tried again: the same words, or the same script with the same arguments.' })
    }
    const { ids, runIds, unsure } = restOf(operation, this.ids, request)
    return { group: new HostGroup({ ids, leftOut: this.leftOut }, this.#parts, { id: operationId, finishedAt: operation.finishedAt, runIds }), unsure }
  }

  /** Starts a durable command on every host, under one run id where one is given. */
  async *start(command: Command, options: GroupRunOptions = {}): AsyncGenerator<StartResult, void> {
    refuseRollout(options)
    yield* this.#each(options, (vmId) => this.#dispatcher.start(vmId, { operation: 'run', command, options: ofHost(vmId, options) }))
  }

  /** Starts a durable script on every host. */
  async *startScript(path: string, options: GroupScriptOptions = {}): AsyncGenerator<StartResult, void> {
    refuseRollout(options)
    yield* this.#each(options, (vmId) => this.#dispatcher.start(vmId, { operation: 'script', path, options: ofHost(vmId, options) }))
  }

  /** Sends a local file, or with `recursive` a tree, to every host. */
  async *put(local: string, remote: string, options: GroupTransferOptions = {}): AsyncGenerator<TransferResult, void> {
    const shared = this.#sharedBy(options)
    yield* this.#each(options, (vmId) => this.#dispatcher.transfer(vmId, { operation: 'upload', local, remote, ...shared, options: transferOf(vmId, options) }))
  }

  /** Fetches a file, or with `recursive` a tree, from every host; `localOf` says where each host's copy goes. */
  async *get(remote: string, localOf: (vmId: string) => string, options: GroupTransferOptions = {}): AsyncGenerator<TransferResult, void> {
    const shared = this.#sharedBy(options)
    yield* this.#each(options, (vmId) =>
      this.#dispatcher.transfer(vmId, { operation: 'download', local: localOf(vmId), remote, ...shared, options: transferOf(vmId, options) }),
    )
  }

  /** What the hosts of one call share. */
  #sharedBy({ limitRate, parallel = this.#parallel }: GroupTransferOptions): Pick<TransferRequest, 'limit' | 'beside'> {
    return { limit: this.#dispatcher.limitTo(limitRate), beside: Math.min(parallel, this.ids.length) }
  }

  #roll(options: GroupRunOptions, call: Pick<GroupCall, 'requestOf' | 'commandHash'>): AsyncGenerator<RunResult, void> {
    return runOnGroup(this.#parts, { ...call, ids: this.ids, parallel: this.#prepare(options), options, continues: this.#earlier })
  }

  /** With the id of the host's durable run of before, where there may be one. */
  #again<O extends RunOptions>(vmId: string, options: O): O {
    const runId = this.#earlier?.runIds.get(vmId)
    return runId === undefined ? options : { ...options, runId }
  }

  #each<R>(options: GroupOptions & Pick<RunOptions, 'signal'>, work: (vmId: string) => Promise<R>): AsyncGenerator<R> {
    const { onStart } = options
    return fanOut(this.ids, this.#prepare(options), (vmId) => {
      onStart?.(vmId)
      return work(vmId)
    })
  }

  /** How many at a time. Throws `USAGE` where that is no number. */
  #prepare({ parallel = this.#parallel, signal }: GroupOptions & Pick<RunOptions, 'signal'>): number {
    if (!Number.isSafeInteger(parallel) || parallel < 1) throw remexError('USAGE', `parallel: ${String(parallel)} is not a whole number of at least 1`)
    // Every host listens to it, and Node takes more than ten listeners for a leak.
    if (signal) setMaxListeners(0, signal)
    return parallel
  }

  /** A stream can be read once: for several hosts its content is taken first. */
  async #shareable<O extends GroupRunOptions>(options: O): Promise<O> {
    if (!(options.stdin instanceof Readable) || this.ids.length < 2) return options
    return { ...options, stdin: await buffer(options.stdin) }
  }
}

/** A run that is only started has no end to wait for before the next batch. */
function refuseRollout(options: GroupRunOptions): void {
  for (const name of ['batch', 'canary', 'pause', 'check', 'maxFailures'] as const) {
    if (options[name] !== undefined) throw remexError('USAGE', `${name} is for runs that are waited for, and this one is only started`)
  }
}

function ofHost<O extends GroupRunOptions>(vmId: string, { onOutput, signalOf, ...options }: O): Omit<O, 'onOutput' | 'signalOf'> & Pick<RunOptions, 'onOutput' | 'signal'> {
  const own = signalOf?.(vmId)
  return {
    ...options,
    ...(onOutput ? { onOutput: (stream, chunk) => onOutput(vmId, stream, chunk) } : {}),
    ...(own ? { signal: options.signal ? AbortSignal.any([options.signal, own]) : own } : {}),
  }
}

function transferOf(vmId: string, { onProgress, onChange, ...options }: GroupTransferOptions): TransferOptions {
  return {
    ...options,
    ...(onProgress ? { onProgress: (done, total) => onProgress(vmId, done, total) } : {}),
    ...(onChange ? { onChange: (change) => onChange(vmId, change) } : {}),
  }
}
