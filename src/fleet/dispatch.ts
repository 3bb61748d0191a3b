import type { AuditLog, BeginFields, FinishFields } from '../audit/log.ts'
import type { Config, HostConfig } from '../config/types.ts'
import { cancelledError } from '../core/abort.ts'
import { Deadline } from '../core/deadline.ts'
import { asRemexError, remexError, withDetails, type RemexError } from '../core/errors.ts'
import { RunResult } from '../core/outcome.ts'
import { newRunId } from '../core/run-id.ts'
import { TransferResult } from '../core/transfer-result.ts'
import { decide } from '../policy/decide.ts'
import type { SessionRuntime } from '../session/connect.ts'
import { withRetries } from '../session/retry.ts'
import { Session, type SessionReport } from '../session/session.ts'
import { download } from '../transfer/download.ts'
import { removeScript, scriptText, sendScript } from '../transfer/script-file.ts'
import { upload } from '../transfer/upload.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import { transferAccess } from './access.ts'
import { decideOptions, type DecidedOptions } from './invocation.ts'
import { checkFinish, describe, errorFinish, runFinish, transferFinish, type Description } from './record.ts'
import type { RunRequest, ScriptRequest, TransferRequest } from './requests.ts'
import { matchesTarget, usableHost } from './roster.ts'
import { decideTransfer, transferReport, type TransferAttempt } from './transfer-report.ts'

/** What the gate needs besides the sessions. */
export interface DispatchRuntime {
  readonly config: Config
  readonly sessions: SessionRuntime
  /** Opened at its first use. Rejects with `AUDIT_UNAVAILABLE`. */
  readonly audit: () => Promise<AuditLog>
  /** Who asks. */
  readonly user: string
  /** The operating system's user. */
  readonly osUser: string
}

/** A live listener that never returns must not hold up the end of everything. */
const SETTLE_MS = 5000

interface Gate<R> {
  readonly description: Description
  readonly runId: string
  readonly perform: (session: Session) => Promise<R>
  readonly finish: (result: R, connection: ConnectionInfo | undefined) => FinishFields
  /** The result of a failure; `result` is there when it ran and only the log could not be told. */
  readonly failed: (error: RemexError, result?: R) => R
}

/**
 * The one way to anything remote: the policy decides, the log has it on disk, it runs, the log has how it ended.
 * No other module imports what executes or transfers.
 */
export class Dispatcher {
  readonly #runtime: DispatchRuntime
  readonly #running = new Set<Promise<unknown>>()

  constructor(runtime: DispatchRuntime) {
    this.#runtime = runtime
  }

  /**
   * Runs a command on one host. How it ended is in the result, whatever it was; rejects only with `USAGE` for a
   * call that is wrong, and with what a live listener throws.
   */
  async run(vmId: string, request: RunRequest): Promise<RunResult> {
    const description = describe(request)
    return this.#runLike(vmId, description, request, (session, runId) => {
      const { settings } = this.#runtime.config
      return session.run({ runId, text: description.command ?? '', ...decideOptions(request.options, session.host, settings) })
    })
  }

  /** Runs a script on one host: sends it, unless it is there already, and removes it afterwards. Rejects as `run` does. */
  async script(vmId: string, request: ScriptRequest): Promise<RunResult> {
    return this.#runLike(vmId, describe(request), request, (session, runId) => this.#runScript(session, runId, request))
  }

  /** Sends or fetches a file. The receipt, or why there is none, is in the result; rejects as `run` does. */
  async transfer(vmId: string, request: TransferRequest): Promise<TransferResult> {
    const { clock } = this.#runtime.sessions
    decideTransfer(request, this.#runtime.config.settings)
    const startMs = clock.monotonicMs()
    const report = (outcome: TransferAttempt, attempts: number, connection?: ConnectionInfo): TransferResult =>
      transferReport({ outcome, attempts }, { vmId, request, startMs, connection, now: { monotonicMs: clock.monotonicMs(), wallMs: clock.now() } })
    return this.#through(vmId, {
      description: describe(request),
      runId: newRunId(clock.now()),
      finish: transferFinish,
      failed: (error, result) => (result ? new TransferResult({ ...result, error }) : report({ error }, 0)),
      perform: async (session) => {
        const { outcome, attempts } = await this.#attemptTransfer(session, request)
        return report(outcome, attempts, session.connection)
      },
    })
  }

  /** Connects and authenticates, and does nothing else. Rejects with why not. */
  async check(vmId: string, signal?: AbortSignal): Promise<ConnectionInfo> {
    return this.#through(vmId, {
      description: { operation: 'host_check', command: undefined, fields: {}, secrets: [], words: undefined, shellText: undefined },
      runId: newRunId(this.#runtime.sessions.clock.now()),
      perform: (session) => session.connect(signal),
      finish: (connection) => checkFinish(connection),
      failed: (error) => {
        throw error
      },
    })
  }

  async #runLike(
    vmId: string,
    description: Description,
    request: RunRequest | ScriptRequest,
    execute: (session: Session, runId: string) => Promise<SessionReport>,
  ): Promise<RunResult> {
    const { config, sessions, user } = this.#runtime
    const runId = newRunId(sessions.clock.now())
    const about = { runId, vmId, user, operation: request.operation, command: description.command ?? '' }
    const host = config.hosts.get(vmId)
    // What is wrong with the call itself is said before anything is decided or logged.
    if (host) decideOptions(request.options, host, config.settings)
    const perform = async (session: Session): Promise<RunResult> => new RunResult({ ...about, ...(await execute(session, runId)) })
    const failed = (error: RemexError, result?: RunResult): RunResult =>
      result ? new RunResult({ ...result, error: result.error ?? error }) : notStarted(about, error, sessions.clock.now())
    return this.#through(vmId, { description, runId, perform, finish: runFinish, failed })
  }

  async #runScript(session: Session, runId: string, { path, options }: ScriptRequest): Promise<SessionReport> {
    const { settings } = this.#runtime.config
    const decided = decideOptions(options, session.host, settings)
    const call = { args: options.args ?? [], interpreter: options.interpreter }
    if (options.remote) return session.run({ ...decided, runId, text: scriptText({ ...call, path, removeAfter: undefined }) })
    const access = transferAccess(session, this.#runtime.sessions.clock)
    const otherUser = decided.sudoUser !== undefined && decided.sudoUser !== 'root'
    const sending = await this.#move(session, { ...decided, what: 'sending the script' }, (signal) => sendScript(access, path, { otherUser, signal }))
    if (sending.outcome.error) return this.#unsent(session, sending.outcome.error, sending)
    const file = sending.outcome.value
    // Another user may not remove the directory; then only the login does, below.
    const removeAfter = options.keep || decided.sudoUser !== undefined ? undefined : file.directory
    const report = await session.run({ ...decided, runId, text: scriptText({ ...call, path: file.path, removeAfter }) })
    const removed = removeAfter !== undefined && report.ended === 'exited'
    if (!options.keep && !removed) await removeScript(access, file.directory)
    return report
  }

  /** The report of a script that did not get to the host, so that nothing of it ran. */
  #unsent(session: Session, error: RemexError, { attempts, failures, executionTime }: Omit<Moved<unknown>, 'outcome'>): SessionReport {
    const { connection } = session
    return { ...neverRan(error, this.#runtime.sessions.clock.now()), attempts, failures, executionTime, engine: connection?.engine ?? null, connection }
  }

  async #attemptTransfer(session: Session, request: TransferRequest): Promise<{ outcome: TransferAttempt; attempts: number }> {
    const { operation, local, remote, options } = request
    const access = transferAccess(session, this.#runtime.sessions.clock)
    const move = { ...decideTransfer(request, this.#runtime.config.settings), signal: options.signal, what: 'the transfer' }
    const { outcome, attempts } = await this.#move(session, move, (signal) => {
      const job = { localPath: local, remotePath: remote, mode: options.mode, verify: !options.insecureSkipVerify, signal, onProgress: options.onProgress }
      return operation === 'upload' ? upload(access, job) : download(access, job)
    })
    return { outcome: outcome.error ? outcome : { receipt: outcome.value }, attempts }
  }

  /** Does what can be done twice without harm, as often as is useful and allowed, and within its time. */
  async #move<T>(session: Session, { attempts, timeoutMs, signal: given, what }: Move, work: (signal: AbortSignal) => Promise<T>): Promise<Moved<T>> {
    const { clock } = this.#runtime.sessions
    const startMs = clock.monotonicMs()
    using limit = new Deadline({ timeoutMs, clock, signal: given, what })
    const { signal } = limit
    const attempt = async (): Promise<Moved<T>['outcome']> => {
      try {
        return { value: await work(signal) }
      } catch (error) {
        return { error: withDetails(signal.aborted ? cancelledError(signal, what) : asRemexError(error), { vmId: session.host.id }) }
      }
    }
    const retried = await withRetries({ attempts, budgetMs: timeoutMs, signal, clock }, attempt, ({ error }) => (error?.retryable ? error : undefined))
    return { ...retried, executionTime: Math.round((clock.monotonicMs() - startMs) * 1000) / 1e6 }
  }

  /** Resolves when nothing runs any more and the log has how it ended; after a while even so. */
  async settled(): Promise<void> {
    const over = new AbortController()
    const late = this.#runtime.sessions.clock.sleep(SETTLE_MS, over.signal).catch(() => undefined)
    await Promise.race([Promise.allSettled(this.#running), late])
    over.abort()
  }

  async #through<R>(vmId: string, gate: Gate<R>): Promise<R> {
    const passing = this.#pass(vmId, gate)
    this.#running.add(passing)
    try {
      return await passing
    } finally {
      this.#running.delete(passing)
    }
  }

  async #pass<R>(vmId: string, gate: Gate<R>): Promise<R> {
    let result: R | undefined
    try {
      const audit = await this.#runtime.audit()
      const host = await this.#admit(vmId, gate, audit)
      const entry = await audit.begin({ ...this.#who(vmId, gate), ...gate.description.fields, secrets: gate.description.secrets })
      const session = new Session(host, this.#runtime.sessions)
      result = await this.#perform(session, gate, (fields) => audit.finish(entry, fields))
      await audit.finish(entry, gate.finish(result, session.connection))
      return result
    } catch (error) {
      const known = withDetails(asRemexError(error), { vmId })
      // A wrong call and a listener's own error are the caller's; everything else is how the host fared.
      if (known.code === 'USAGE' || known.code === 'INTERNAL') throw error
      return gate.failed(known, result)
    }
  }

  async #perform<R>(session: Session, gate: Gate<R>, finish: (fields: FinishFields) => Promise<void>): Promise<R> {
    try {
      return await gate.perform(session)
    } catch (error) {
      await finish(errorFinish(asRemexError(error), session.connection))
      throw error
    }
  }

  /** The host, where configuration and policy allow the operation; a refusal is in the log. */
  async #admit<R>(vmId: string, gate: Gate<R>, audit: AuditLog): Promise<HostConfig> {
    const { config, user, osUser } = this.#runtime
    const { operation, words, shellText, fields, secrets } = gate.description
    try {
      const host = usableHost(config, vmId)
      const matchesHost = (expression: string): boolean => matchesTarget(config, vmId, expression)
      const decision = decide(config.policy, { user, osUser, vmId, operation, words, shellText, matchesHost })
      if (decision.effect === 'allow') return host
      throw remexError('POLICY_DENIED', `the policy does not allow ${operation} on ${vmId}: ${decision.reason}`, { vmId })
    } catch (error) {
      const known = asRemexError(error)
      await audit.note('denied', { ...this.#who(vmId, gate), ...fields, secrets, status: 'error', error_code: known.code, reason: known.message })
      throw error
    }
  }

  #who<R>(vmId: string, { description, runId }: Gate<R>): Pick<BeginFields, 'user_id' | 'vm_id' | 'operation' | 'run_id' | 'address' | 'login'> {
    const host = this.#runtime.config.hosts.get(vmId)
    return {
      run_id: runId,
      user_id: this.#runtime.user,
      vm_id: vmId,
      ...(host ? { address: host.address, login: host.login } : {}),
      operation: description.operation,
    }
  }
}

/** How often and how long something may be tried. */
interface Move extends Pick<DecidedOptions, 'attempts' | 'timeoutMs' | 'signal'> {
  /** For the message of a deadline. */
  readonly what: string
}

interface Moved<T> extends Pick<SessionReport, 'attempts' | 'failures' | 'executionTime'> {
  readonly outcome: { readonly value: T; readonly error?: undefined } | { readonly error: RemexError; readonly value?: undefined }
}

type About = Pick<RunResult, 'runId' | 'vmId' | 'user' | 'operation' | 'command'>

function notStarted(about: About, error: RemexError, now: number): RunResult {
  return new RunResult({ ...about, ...neverRan(error, now) })
}

function neverRan(error: RemexError, now: number): Omit<SessionReport, 'connection'> {
  return {
    ended: error.mayHaveRun ? 'lost' : 'not_started',
    exitCode: null,
    signal: null,
    stdoutRaw: Buffer.alloc(0),
    stderrRaw: Buffer.alloc(0),
    stdoutBytes: 0,
    stderrBytes: 0,
    truncated: false,
    outputIncomplete: false,
    executionTime: 0,
    timestamp: new Date(now).toISOString(),
    attempts: 0,
    failures: [],
    engine: null,
    killed: null,
    error,
  }
}
