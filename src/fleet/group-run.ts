import type { Clock } from '../core/clock.ts'
import { parseDurationMs } from '../core/duration.ts'
import { asRemexError, remexError, withDetails, type RemexError } from '../core/errors.ts'
import { RunResult } from '../core/outcome.ts'
import { newRunId } from '../core/run-id.ts'
import { planBatches, type Batch } from './batches.ts'
import type { Dispatcher } from './dispatch.ts'
import type { GroupRunOptions } from './group.ts'
import { isDurable } from './invocation.ts'
import type { HostOutcome, Operation, Operations } from './operations.ts'
import type { RunRequest, ScriptRequest } from './requests.ts'
import { rollOut } from './rollout.ts'

/** What a run on several hosts needs. */
export interface GroupParts {
  readonly dispatcher: Dispatcher
  readonly operations: Operations
  readonly clock: Clock
  /** Who asks. */
  readonly user: string
}

/** A run on several hosts. */
export interface GroupCall {
  readonly ids: readonly string[]
  readonly parallel: number
  readonly options: GroupRunOptions
  /** What each host is asked. */
  readonly requestOf: (vmId: string) => RunRequest | ScriptRequest
  /** What the operation is known by. */
  readonly commandHash: () => string
  /** The operation that it belongs to, and of which it is the rest; undefined: a new one. */
  readonly continues: Pick<Operation, 'id' | 'finishedAt'> | undefined
}

/** What a check says is short. */
const MOST_CHECK_BYTES = 64 * 1024

/** Runs on the hosts, batch after batch, and notes how it went. Rejects with `USAGE` for a call that is wrong. */
export function runOnGroup(parts: GroupParts, call: GroupCall): AsyncGenerator<RunResult, void> {
  return new GroupRun(parts, call).results()
}

class GroupRun {
  readonly #parts: GroupParts
  readonly #call: GroupCall
  readonly #batches: readonly Batch[]
  readonly #pauseMs: number
  /** Undefined for a single host. */
  readonly #opId: string | undefined
  readonly #outcomes = new Map<string, HostOutcome>()
  #stopReason = 'who asked for it left'

  constructor(parts: GroupParts, call: GroupCall) {
    const { ids, options, continues } = call
    this.#parts = parts
    this.#call = call
    this.#batches = planBatches(ids, options)
    this.#pauseMs = pauseOf(options)
    this.#opId = continues?.id ?? (ids.length > 1 ? newRunId(parts.clock.now()) : undefined)
  }

  async *results(): AsyncGenerator<RunResult, void> {
    const { parallel, options: { signal, onBatch, check } } = this.#call
    const turn = await this.#turn()
    try {
      yield* rollOut({
        batches: this.#batches,
        parallel,
        pauseMs: this.#pauseMs,
        clock: this.#parts.clock,
        signal,
        onBatch,
        onStopped: (why) => void (this.#stopReason = why),
        run: async (vmId) => this.#noted(await this.#run(vmId)),
        check: check === undefined ? undefined : (vmId) => this.#check(vmId, check),
        untried: (vmId, reason, what) => this.#noted(this.#untried(vmId, reason, what)),
      })
    } finally {
      await this.#tellLog()
      await this.#writeNote()
      await turn[Symbol.asyncDispose]()
    }
  }

  /** Two who try the same rest again at the same time would run it twice. */
  async #turn(): Promise<AsyncDisposable> {
    const { continues } = this.#call
    if (!continues) return { [Symbol.asyncDispose]: () => Promise.resolve() }
    const { operations } = this.#parts
    const turn = await operations.hold(continues.id)
    if ((await operations.read(continues.id))?.finishedAt === continues.finishedAt) return turn
    await turn[Symbol.asyncDispose]()
    throw remexError('USAGE', `operation ${continues.id} has been tried again meanwhile`, { hint: 'Nothing was run. The same command once more tries what is left now.' })
  }

  #run(vmId: string): Promise<RunResult> {
    const { options: { onStart }, requestOf } = this.#call
    onStart?.(vmId)
    const request = requestOf(vmId)
    const { dispatcher } = this.#parts
    return request.operation === 'run' ? dispatcher.run(vmId, request) : dispatcher.script(vmId, request)
  }

  async #check(vmId: string, check: string): Promise<RunResult> {
    const { onCheck } = this.#call.options
    onCheck?.(vmId, 'started')
    try {
      const result = new RunResult({ ...(await this.#parts.dispatcher.run(vmId, this.#checkRequest(vmId, check))), check: true })
      return result.state === 'succeeded' ? result : this.#noted(result)
    } finally {
      onCheck?.(vmId, 'ended')
    }
  }

  /** The check has the surroundings of the run: login, directory, variables, deadline. */
  #checkRequest(vmId: string, command: string): RunRequest {
    const { timeout, cwd, env, sudo, retries, idempotent, signal } = this.#call.requestOf(vmId).options
    return { operation: 'run', command, options: { timeout, cwd, env, sudo, retries, idempotent, signal, maxOutputBytes: MOST_CHECK_BYTES } }
  }

  #untried(vmId: string, reason: RemexError, what: 'run' | 'check'): RunResult {
    const { check = '' } = this.#call.options
    const error = this.#opId === undefined ? reason : withDetails(reason, { hint: `The rest of it: the same command again with --retry-failed ${this.#opId}` })
    const { dispatcher } = this.#parts
    if (what === 'run') return dispatcher.untried(vmId, this.#call.requestOf(vmId), error)
    return new RunResult({ ...dispatcher.untried(vmId, this.#checkRequest(vmId, check), error), untried: false, check: true })
  }

  /** The last word on a host counts. */
  #noted(result: RunResult): RunResult {
    const { vmId, state, runId, check } = result
    const ofRun = check ? (this.#outcomes.get(vmId)?.runId ?? null) : runId
    this.#outcomes.set(vmId, { state, runId: isDurable(this.#call.options) ? ofRun : null })
    return this.#opId === undefined ? result : new RunResult({ ...result, opId: this.#opId })
  }

  /** That hosts were left out is in no record of theirs. */
  async #tellLog(): Promise<void> {
    const { ids, requestOf, options: { onNotice } } = this.#call
    const [first] = ids
    const untried = ids.filter((vmId) => (this.#outcomes.get(vmId)?.state ?? 'not_tried') === 'not_tried').length
    if (first === undefined || this.#opId === undefined || this.#outcomes.size === 0 || untried === 0) return
    try {
      await this.#parts.dispatcher.stopped(requestOf(first), { opId: this.#opId, reason: `${this.#stopReason}: ${untried} of ${ids.length} hosts were not tried` })
    } catch (error) {
      onNotice?.(`that not all hosts were tried is not in the audit log: ${asRemexError(error).message}`)
    }
  }

  /** What the hosts did is not undone by a note that cannot be written: that is told, and no more. */
  async #writeNote(): Promise<void> {
    const { ids, options: { onNoted, onNotice }, commandHash } = this.#call
    const { operations, clock, user } = this.#parts
    const id = this.#opId
    if (id === undefined || this.#outcomes.size === 0) return
    // Whoever leaves the loop early has not tried the rest.
    const own = ids.map((vmId) => [vmId, this.#outcomes.get(vmId) ?? { state: 'not_tried', runId: null }] as const)
    try {
      const before = this.#call.continues === undefined ? undefined : await operations.read(id)
      const hosts = new Map<string, HostOutcome>([...(before?.hosts ?? []), ...own])
      await operations.write({ id, user, commandHash: commandHash(), finishedAt: new Date(clock.now()).toISOString(), hosts }, clock.now())
      onNoted?.(id)
    } catch (error) {
      onNotice?.(`how the hosts fared could not be noted, so that --retry-failed cannot know it: ${asRemexError(error).message}`)
    }
  }
}

function pauseOf({ pause, check, batch, canary }: GroupRunOptions): number {
  if (check !== undefined && (typeof check !== 'string' || check.trim() === '')) throw remexError('USAGE', 'check: there is no command in it')
  if (pause === undefined) return 0
  const pauseMs = parseDurationMs(pause, 'pause')
  if (pauseMs === Infinity) throw remexError('USAGE', 'pause: none is no time to wait', { hint: 'Leave it out for no pause.' })
  if (batch === undefined && canary === undefined && check === undefined) throw remexError('USAGE', 'pause: there is nothing to wait between', { hint: 'It needs --batch, --canary or --check.' })
  return pauseMs
}
