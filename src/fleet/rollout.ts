import type { Clock } from '../core/clock.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import type { Batch } from './batches.ts'
import { fanOut } from './fan-out.ts'

/** A batch that begins. */
export interface BatchStart {
  /** From 1. */
  readonly number: number
  readonly of: number
  readonly ids: readonly string[]
  readonly canary: boolean
}

/** What is done with the hosts, and in which order. */
export interface Rolling {
  readonly batches: readonly Batch[]
  readonly parallel: number
  /** The wait between batches, and before a check. */
  readonly pauseMs: number
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
  readonly onBatch: ((batch: BatchStart) => void) | undefined
  /** Told once, why no more hosts are tried. */
  readonly onStopped: (why: string) => void
  readonly run: (vmId: string) => Promise<RunResult>
  /** Looks at a host whose run succeeded; undefined: nobody looks. */
  readonly check: ((vmId: string) => Promise<RunResult>) | undefined
  /** The result of a host whose turn never comes, or of a check that is not made. */
  readonly untried: (vmId: string, reason: RemexError, what: 'run' | 'check') => RunResult
}

/**
 * Batch after batch: the next one begins when all hosts of the one before are done, and not too many have failed.
 * Gives the result of every host once, also of those whose turn never comes; and one more where a check failed.
 * Rejects with what `run`, `check` and a listener throw.
 */
export function rollOut(rolling: Rolling): AsyncGenerator<RunResult, void> {
  return new Rollout(rolling).results()
}

class Rollout {
  readonly #rolling: Rolling
  #failures = 0
  /** Set once, by what came first: too many failures, or a cancel. */
  #stopped: ((vmId: string) => RemexError) | undefined

  constructor(rolling: Rolling) {
    this.#rolling = rolling
  }

  async *results(): AsyncGenerator<RunResult, void> {
    const { batches, parallel, onBatch, check } = this.#rolling
    for (const [index, batch] of batches.entries()) {
      this.#noteCancel()
      if (!this.#stopped) onBatch?.({ number: index + 1, of: batches.length, ids: batch.ids, canary: batch.canary })
      const succeeded: string[] = []
      for await (const result of fanOut(batch.ids, parallel, (vmId) => this.#run(vmId, batch))) {
        if (result.state === 'succeeded') succeeded.push(result.vmId)
        yield result
      }
      if (check && succeeded.length > 0) {
        await this.#pause()
        for await (const result of fanOut(succeeded, parallel, (vmId) => this.#check(vmId, { batch, check }))) if (result) yield result
      } else if (index + 1 < batches.length && !this.#stopped) await this.#pause()
    }
  }

  async #run(vmId: string, batch: Batch): Promise<RunResult> {
    this.#noteCancel()
    if (this.#stopped) return this.#rolling.untried(vmId, this.#stopped(vmId), 'run')
    const result = await this.#rolling.run(vmId)
    this.#count(result, batch)
    return result
  }

  /** Undefined where the host passed. Made even after too many failures: what was changed and not looked at must not count as well done. */
  async #check(vmId: string, { batch, check }: { readonly batch: Batch; readonly check: NonNullable<Rolling['check']> }): Promise<RunResult | undefined> {
    const { signal, untried } = this.#rolling
    if (signal?.aborted) return untried(vmId, cancelled(vmId, 'checked', signal), 'check')
    const result = await check(vmId)
    this.#count(result, batch)
    return result.state === 'succeeded' ? undefined : result
  }

  /** Before the host counts as done, so that not one more is started than may be. */
  #count({ state }: RunResult, { mostFailures, canary }: Batch): void {
    // What a cancel ended did not fail by itself.
    this.#noteCancel()
    if (state === 'succeeded' || this.#stopped || ++this.#failures <= mostFailures) return
    const failures = `${this.#failures} ${this.#failures === 1 ? 'failure' : 'failures'}`
    const why = canary ? `${failures} in the canary` : `${failures} ${this.#failures === 1 ? 'is' : 'are'} more than --max-failures ${mostFailures}`
    this.#stop(why, (vmId) => remexError('CANCELLED', `${vmId} was not tried: ${why}`, { vmId }))
  }

  #stop(why: string, errorOf: (vmId: string) => RemexError): void {
    if (this.#stopped) return
    this.#stopped = errorOf
    this.#rolling.onStopped(why)
  }

  #noteCancel(): void {
    const { signal } = this.#rolling
    if (signal?.aborted) this.#stop('the run was cancelled', (vmId) => cancelled(vmId, 'tried', signal))
  }

  /** Ends early when everything is cancelled. */
  async #pause(): Promise<void> {
    const { pauseMs, clock, signal } = this.#rolling
    if (pauseMs === 0 || signal?.aborted) return
    await clock.sleep(pauseMs, signal).catch((error: unknown) => {
      if (!signal?.aborted) throw error
    })
  }
}

function cancelled(vmId: string, what: 'tried' | 'checked', signal: AbortSignal): RemexError {
  return remexError('CANCELLED', `${vmId} was not ${what}: the run was cancelled`, { vmId, cause: signal.reason })
}
