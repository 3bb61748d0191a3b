import { setMaxListeners } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { Readable } from 'node:stream'
import { remexError } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import type { TransferResult } from '../core/transfer-result.ts'
import type { Dispatcher } from './dispatch.ts'
import { fanOut } from './fan-out.ts'
import type { StartResult } from './start-result.ts'
import type { Command, RunOptions, ScriptOptions, TransferOptions, TransferRequest, TreeChange } from './requests.ts'

/** How many hosts at once, and what to hear of them. */
export interface GroupOptions {
  /** Hosts at a time. Default: `max_parallel_commands`, 32. */
  readonly parallel?: number
  /** A host's turn has come. */
  readonly onStart?: (vmId: string) => void
}

/** Options of a command on several hosts. */
export interface GroupRunOptions extends Omit<RunOptions, 'onOutput'>, GroupOptions {
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

/** Several hosts at once. Every iteration gives each host's report as it finishes and never throws for a host. */
export class HostGroup {
  /** In the order of the configuration. */
  readonly ids: readonly string[]
  /** Hosts of a named group, or of `all`, that may not be used, with the reason. */
  readonly leftOut: readonly { readonly id: string; readonly reason: string }[]
  readonly #dispatcher: Dispatcher
  readonly #parallel: number

  constructor(selection: Pick<HostGroup, 'ids' | 'leftOut'>, { dispatcher, parallel }: { dispatcher: Dispatcher; parallel: number }) {
    this.ids = selection.ids
    this.leftOut = selection.leftOut
    this.#dispatcher = dispatcher
    this.#parallel = parallel
  }

  /** Runs a command on every host. Throws `USAGE` for a call that is wrong. */
  async *run(command: Command, options: GroupRunOptions = {}): AsyncGenerator<RunResult, void> {
    const shared = await this.#shareable(options)
    yield* this.#each(options, (vmId) => this.#dispatcher.run(vmId, { operation: 'run', command, options: ofHost(vmId, shared) }))
  }

  /** Runs a script on every host. Throws `USAGE` for a call that is wrong. */
  async *script(path: string, options: GroupScriptOptions = {}): AsyncGenerator<RunResult, void> {
    const shared = await this.#shareable(options)
    yield* this.#each(options, (vmId) => this.#dispatcher.script(vmId, { operation: 'script', path, options: ofHost(vmId, shared) }))
  }

  /** Starts a durable command on every host, under one run id where one is given. */
  async *start(command: Command, options: GroupRunOptions = {}): AsyncGenerator<StartResult, void> {
    yield* this.#each(options, (vmId) => this.#dispatcher.start(vmId, { operation: 'run', command, options: ofHost(vmId, options) }))
  }

  /** Starts a durable script on every host. */
  async *startScript(path: string, options: GroupScriptOptions = {}): AsyncGenerator<StartResult, void> {
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

  #each<R>({ parallel = this.#parallel, onStart, signal }: GroupOptions & Pick<RunOptions, 'signal'>, work: (vmId: string) => Promise<R>): AsyncGenerator<R> {
    if (!Number.isSafeInteger(parallel) || parallel < 1) throw remexError('USAGE', `parallel: ${String(parallel)} is not a whole number of at least 1`)
    // Every host listens to it, and Node takes more than ten listeners for a leak.
    if (signal) setMaxListeners(0, signal)
    return fanOut(this.ids, parallel, (vmId) => {
      onStart?.(vmId)
      return work(vmId)
    })
  }

  /** A stream can be read once: for several hosts its content is taken first. */
  async #shareable<O extends GroupRunOptions>(options: O): Promise<O> {
    if (!(options.stdin instanceof Readable) || this.ids.length < 2) return options
    return { ...options, stdin: await buffer(options.stdin) }
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
