import { StringDecoder } from 'node:string_decoder'
import { withDetails, asRemexError } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import type { OutputListener } from '../session/invocation.ts'
import { Handover } from './handover.ts'

/** Starts the run; the listener gets its output, the signal cancels it. */
export type StartRun = (live: { readonly onOutput: OutputListener | undefined; readonly signal: AbortSignal | undefined }) => Promise<RunResult>

/**
 * A run that starts when it is awaited, or when its lines are asked for. Awaiting gives the result; iterating gives
 * the lines of standard output as they come, without their newlines, at the pace of the reader. Leaving the loop
 * early cancels the run and waits until it is ended on the host.
 */
export class RunHandle implements PromiseLike<RunResult>, AsyncIterable<string> {
  readonly #start: StartRun
  #result: Promise<RunResult> | undefined

  constructor(start: StartRun) {
    this.#start = start
  }

  then<A = RunResult, B = never>(
    done?: ((result: RunResult) => A | PromiseLike<A>) | null,
    failed?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#result ??= this.#start({ onOutput: undefined, signal: undefined })
    return this.#result.then(done, failed)
  }

  /** Throws when the run did not come to an exit of its own (deadline, lost connection); an exit code is no error. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void> {
    if (this.#result) {
      yield* linesOf((await this.#result).stdout)
      return
    }
    const leave = new AbortController()
    const chunks = new Handover<Buffer>()
    const run = this.#start({ onOutput: (stream, chunk) => (stream === 'stdout' ? chunks.give(chunk) : undefined), signal: leave.signal })
    this.#result = run
    const ended = run.then(() => chunks.end(), () => chunks.end())
    let finished = false
    try {
      yield* decodedLines(chunks)
      finished = true
    } finally {
      if (!finished) leave.abort()
      chunks.discard()
      await ended
    }
    const result = await run
    if (result.error) throw withDetails(asRemexError(result.error), { result })
  }
}

async function* decodedLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for await (const chunk of chunks) {
    const parts = (rest + decoder.write(chunk)).split('\n')
    rest = parts.pop() ?? ''
    yield* parts
  }
  rest += decoder.end()
  if (rest !== '') yield rest
}

function linesOf(text: string): string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}
