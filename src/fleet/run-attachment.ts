import type { RunResult } from '../core/outcome.ts'
import type { OutputListener } from '../session/invocation.ts'
import { Handover } from './handover.ts'

/** A piece of a run's output, and where in its stream it begins. */
export interface RunChunk {
  readonly stream: 'stdout' | 'stderr'
  readonly chunk: Buffer
  /** In bytes from the beginning of the stream. */
  readonly offset: number
}

/** Who takes the output, and from where on. */
export interface AttachLive {
  readonly onOutput: OutputListener | undefined
  readonly signal: AbortSignal | undefined
  readonly offsets: { readonly stdout: number; readonly stderr: number }
}

type Attach = (live: Omit<AttachLive, 'offsets'>) => Promise<RunResult>

/**
 * An attachment to a durable run, made when it is awaited or iterated. Awaiting gives the result; iterating gives the
 * output as it comes, at the pace of the reader. Leaving the loop only detaches: the run goes on.
 */
export class RunAttachment implements PromiseLike<RunResult>, AsyncIterable<RunChunk> {
  readonly #attach: Attach
  readonly #from: AttachLive['offsets']
  #result: Promise<RunResult> | undefined

  constructor(attach: Attach, from: AttachLive['offsets']) {
    this.#attach = attach
    this.#from = from
  }

  then<A = RunResult, B = never>(
    done?: ((result: RunResult) => A | PromiseLike<A>) | null,
    failed?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#result ??= this.#attach({ onOutput: undefined, signal: undefined })
    return this.#result.then(done, failed)
  }

  /** Throws when the run could not be followed to its end. May be iterated once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<RunChunk, void> {
    const leave = new AbortController()
    const chunks = new Handover<RunChunk>()
    const offsets = { ...this.#from }
    const run = this.#attach({
      signal: leave.signal,
      onOutput: (stream, chunk) => {
        const offset = offsets[stream]
        offsets[stream] += chunk.length
        return chunks.give({ stream, chunk, offset })
      },
    })
    this.#result ??= run
    const ended = run.then(() => chunks.end(), () => chunks.end())
    try {
      yield* chunks
    } finally {
      leave.abort()
      chunks.discard()
      await ended
    }
    await run
  }
}
