import { remexError, withDetails } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import { quoteWord } from '../core/quote.ts'
import type { TransferResult } from '../core/transfer-result.ts'
import type { Dispatcher } from './dispatch.ts'
import type { Command, RunOptions, ScriptOptions, TransferOptions } from './requests.ts'
import { RunHandle } from './run-handle.ts'
import type { StartResult } from './start-result.ts'

/** One host. What has a result gives it; what has none throws `RemexError`. */
export class Host {
  /** The host's id, `vm01`. */
  readonly id: string
  readonly #dispatcher: Dispatcher

  constructor(id: string, dispatcher: Dispatcher) {
    this.id = id
    this.#dispatcher = dispatcher
  }

  /**
   * Runs shell text, or words that the shell does not interpret. Any exit code, a signal, a deadline or a cancel is
   * a result; throws for a run that did not start, or whose end is not known (`mayHaveRun`), with the output so far
   * in the error's `result`.
   */
  async run(command: Command, options: RunOptions = {}): Promise<RunResult> {
    return resultOrThrow(await this.#dispatcher.run(this.id, { operation: 'run', command, options }))
  }

  /** Runs a script: a local one, which is sent and removed, or with `remote` one on the host. Results and errors as {@link run}. */
  async script(path: string, options: ScriptOptions = {}): Promise<RunResult> {
    return resultOrThrow(await this.#dispatcher.script(this.id, { operation: 'script', path, options }))
  }

  /** Starts a durable command and comes back as soon as the host has begun it. Throws where it could not be started. */
  async start(command: Command, options: RunOptions = {}): Promise<StartResult> {
    return startedOrThrow(await this.#dispatcher.start(this.id, { operation: 'run', command, options }))
  }

  /** Starts a durable script, as {@link start} does a command. */
  async startScript(path: string, options: ScriptOptions = {}): Promise<StartResult> {
    return startedOrThrow(await this.#dispatcher.start(this.id, { operation: 'script', path, options }))
  }

  /**
   * Shell text in which each `${}` is one quoted word; an array is several words. Await it for the result, or
   * iterate it for the lines as they come.
   */
  $(text: TemplateStringsArray, ...values: readonly TemplateValue[]): RunHandle {
    const command = template(text, values)
    return new RunHandle(({ onOutput, signal }) => this.run(command, { ...(onOutput && { onOutput }), ...(signal && { signal }) }))
  }

  /** Sends a file; resolves with the receipt. Throws when the file did not arrive whole. */
  async put(local: string, remote: string, options: TransferOptions = {}): Promise<TransferResult> {
    return receiptOrThrow(await this.#dispatcher.transfer(this.id, { operation: 'upload', local, remote, options }))
  }

  /** Fetches a file; resolves with the receipt. Throws when it did not arrive whole. */
  async get(remote: string, local: string, options: TransferOptions = {}): Promise<TransferResult> {
    return receiptOrThrow(await this.#dispatcher.transfer(this.id, { operation: 'download', local, remote, options }))
  }
}

/** What may stand in a `${}` of {@link Host.$}. */
export type TemplateValue = string | number | readonly (string | number)[]

function template(text: TemplateStringsArray, values: readonly TemplateValue[]): string {
  return text.raw.reduce((command, part, index) => command + word(values[index - 1]) + part)
}

function word(value: TemplateValue | undefined): string {
  if (Array.isArray(value)) return value.map((item: string | number) => quoteWord(String(item))).join(' ')
  if (typeof value === 'string' || typeof value === 'number') return quoteWord(String(value))
  throw remexError('USAGE', `a value of a command is ${typeof value}; only text, numbers and lists of them can be words`)
}

function resultOrThrow(result: RunResult): RunResult {
  if (result.error && (result.ended === 'not_started' || result.ended === 'lost')) throw withDetails(result.error, { result })
  return result
}

function startedOrThrow(result: StartResult): StartResult {
  if (result.error) throw withDetails(result.error, { result })
  return result
}

function receiptOrThrow(result: TransferResult): TransferResult {
  if (result.error) throw withDetails(result.error, { result })
  return result
}
