import type { AuditLog, FinishFields } from '../audit/log.ts'
import type { Config, HostConfig } from '../config/types.ts'
import { cancelledError } from '../core/abort.ts'
import { Deadline } from '../core/deadline.ts'
import { asRemexError, withDetails, type RemexError } from '../core/errors.ts'
import { RunResult } from '../core/outcome.ts'
import { newRunId } from '../core/run-id.ts'
import { TransferResult } from '../core/transfer-result.ts'
import type { ApprovalStore } from '../policy/approvals.ts'
import type { SessionRuntime } from '../session/connect.ts'
import { ConnectionPool } from '../session/pool.ts'
import { withRetries } from '../session/retry.ts'
import { DurableRuns, refuseUndurable, type Following } from '../session/durable/durable.ts'
import type { RunFactsOnHost } from '../session/durable/facts.ts'
import type { Invocation } from '../session/invocation.ts'
import { Session, type SessionReport } from '../session/session.ts'
import type { Partials } from '../transfer/partials.ts'
import { RateLimit } from '../transfer/rate-limit.ts'
import { removeScript, scriptText, sendScript } from '../transfer/script-file.ts'
import { transfer } from '../transfer/transfer.ts'
import type { Step } from '../transfer/tree/entry.ts'
import { Manifest } from '../transfer/tree/manifest.ts'
import { emptyTally } from '../transfer/tree/move-tree.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import { transferAccess } from './access.ts'
import { decideOptions, isDurable, type DecidedOptions } from './invocation.ts'
import type { Asked, Move, Moved } from './gate.ts'
import { Gatekeeper } from './gatekeeper.ts'
import { BEGINNING, identityOf, isOver } from './durable-end.ts'
import { neverRan, notStarted } from './never-ran.ts'
import { describe, describeOther, errorFinish, runFinish, stepFinish, transferFinish, type Description } from './record.ts'
import { RunRecording, type Recorder, type Terms } from './recorder.ts'
import type { RunRequest, ScriptRequest, TransferRequest } from './requests.ts'
import type { RunRegistry } from './registry.ts'
import { StartResult } from './start-result.ts'
import { hostSteps, type HostSteps, type StepRequest } from './steps.ts'
import { decideTransfer, tellChange, transferReport, type TransferAttempt, type TreeRecord } from './transfer-report.ts'

/** What the gate needs besides the sessions. */
export interface DispatchRuntime {
  readonly config: Config
  readonly sessions: SessionRuntime
  /** Opened at its first use. Rejects with `AUDIT_UNAVAILABLE`. */
  readonly audit: () => Promise<AuditLog>
  /** Our notes of durable runs. */
  readonly registry: RunRegistry
  readonly partials: Partials
  /** Undefined without a policy. */
  readonly approvals: ApprovalStore | undefined
  /** Who asks. */
  readonly user: string
  /** The operating system's user. */
  readonly osUser: string
}

/**
 * The one way to anything remote: the policy decides, the log has it on disk, it runs, the log has how it ended.
 * No other module imports what executes or transfers.
 */
export class Dispatcher {
  readonly #runtime: DispatchRuntime
  readonly #gate: Gatekeeper

  constructor(runtime: DispatchRuntime) {
    this.#runtime = runtime
    this.#gate = new Gatekeeper({ ...runtime, clock: runtime.sessions.clock, sessionOf: (host) => new Session(host, runtime.sessions) })
  }

  /**
   * Runs a command on one host. How it ended is in the result, whatever it was; rejects only with `USAGE` for a
   * call that is wrong, and with what a live listener throws.
   */
  async run(vmId: string, request: RunRequest): Promise<RunResult> {
    const description = describe(request)
    return this.#runLike(vmId, description, request, (session, runId, recorder) => {
      const { settings } = this.#runtime.config
      const invocation = { runId, text: description.command ?? '', ...decideOptions(request.options, session.host, settings) }
      return this.#execute(session, invocation, { request, shown: description.command ?? '', recorder })
    })
  }

  /** Runs a script on one host: sends it, unless it is there already, and removes it afterwards. Rejects as `run` does. */
  async script(vmId: string, request: ScriptRequest): Promise<RunResult> {
    const description = describe(request)
    return this.#runLike(vmId, description, request, (session, runId, recorder) => this.#runScript(session, runId, { request, shown: description.command ?? '', script: description.script, recorder }))
  }

  /** Has the log say that a run on several hosts ended before all were tried. Rejects with `AUDIT_UNAVAILABLE`. */
  async stopped(request: RunRequest | ScriptRequest, { opId, reason }: { readonly opId: string; readonly reason: string }): Promise<void> {
    const { operation, fields, secrets } = describe(request)
    const audit = await this.#runtime.audit()
    await audit.note('stopped', { op_id: opId, user_id: this.#runtime.user, operation, ...fields, secrets, status: 'error', error_code: 'CANCELLED', reason })
  }

  /** The result of a host whose turn never came; nothing is asked of anybody. Throws `USAGE` for a call that is wrong. */
  untried(vmId: string, request: RunRequest | ScriptRequest, error: RemexError): RunResult {
    const { sessions: { clock }, user } = this.#runtime
    const about = { runId: newRunId(clock.now()), vmId, user, operation: request.operation, command: describe(request).command ?? '' }
    return new RunResult({ ...notStarted(about, error, clock.now()), untried: true })
  }

  /** Sends or fetches a file or a tree. The receipt, or why there is none, is in the result; rejects as `run` does. */
  async transfer(vmId: string, request: TransferRequest): Promise<TransferResult> {
    const { clock } = this.#runtime.sessions
    decideTransfer(request, this.#runtime.config.settings)
    const startMs = clock.monotonicMs()
    const tree = request.options.recursive ? { manifest: new Manifest(), tally: emptyTally() } : undefined
    const report = (outcome: TransferAttempt, attempts: number, connection?: ConnectionInfo): TransferResult =>
      transferReport({ outcome, attempts }, { vmId, request, tree, startMs, connection, now: { monotonicMs: clock.monotonicMs(), wallMs: clock.now() } })
    return this.#gate.through(vmId, {
      description: describe(request),
      runId: newRunId(clock.now()),
      finish: transferFinish,
      failed: (error, result) => (result ? new TransferResult({ ...result, error }) : report({ error }, 0)),
      perform: async (session) => {
        const { outcome, attempts } = await this.#attemptTransfer(session, request, tree)
        return report(outcome, attempts, session.connection)
      },
    })
  }

  /** A rate that several transfers share; undefined where there is no limit. */
  limitTo(bytesPerSecond: number | undefined): RateLimit | undefined {
    return bytesPerSecond === undefined ? undefined : new RateLimit(bytesPerSecond, this.#runtime.sessions.clock)
  }

  /** Starts a durable command and comes back as soon as the host has begun it. Rejects as `run` does. */
  async start(vmId: string, request: RunRequest | ScriptRequest): Promise<StartResult> {
    const description = describe(request)
    isDurable(request.options)
    const { sessions, config } = this.#runtime
    const runId = request.options.runId ?? newRunId(sessions.clock.now())
    return this.#gate.through(vmId, {
      description,
      runId,
      finish: ({ error }) => (error ? errorFinish(error, undefined) : { status: 'success', ended: null }),
      failed: (error, result) => result ?? new StartResult({ vmId, runId, started: false, error }),
      perform: async (session) => {
        const [decided, shown] = [decideOptions(request.options, session.host, config.settings), description.command ?? '']
        refuseUndurable({ ...decided, runId, text: shown })
        await this.#note(session, runId, { request, shown })
        const { text, identity, unused } = request.operation === 'run' ? { text: shown } : await this.#scriptLeft(session, decided, { request, content: description.script?.content })
        const invocation = { ...decided, runId, text }
        const { isNew } = await new DurableRuns(session, sessions.clock).start(invocation, { shown, identity, mostBytes: config.settings.maxRunOutputBytes })
        if (!isNew) await unused?.()
        return new StartResult({ vmId, runId, started: isNew, error: null })
      },
    })
  }

  /** Text that runs a script which was sent and which its own shell removes. */
  async #scriptLeft(session: Session, { sudoUser, signal }: DecidedOptions, { request: { path, options }, content }: { readonly request: ScriptRequest; readonly content: Buffer | undefined }): Promise<{ text: string; identity?: string; unused?: () => Promise<void> }> {
    const call = { args: options.args ?? [], interpreter: options.interpreter }
    if (options.remote) return { text: scriptText({ ...call, path, removeAfter: undefined }) }
    const access = transferAccess(session, this.#runtime.sessions.clock)
    const otherUser = sudoUser !== undefined && sudoUser !== 'root'
    const file = await sendScript(access, path, { content, otherUser, signal })
    const text = scriptText({ ...call, path: file.path, removeAfter: options.keep || otherUser ? undefined : file.directory })
    return { text, identity: identityOf(file, call), unused: () => removeScript(access, file.directory) }
  }

  /** Follows a durable run to its end. How it ended is in the result; rejects as `run` does. */
  async attach(vmId: string, given: Omit<Following, 'mostBytes'>): Promise<RunResult> {
    const mostBytes = this.#runtime.config.settings.maxRunOutputBytes
    return this.#ofRun(vmId, given.runId, { operation: 'run_attach', perform: (durable, recorder) => durable.follow({ ...given, onOutput: recorder ? recorder.over(given.onOutput) : given.onOutput, mostBytes }) })
  }

  /** Ends a durable run; one that has ended stays as it ended. */
  async cancel(vmId: string, runId: string, signal?: AbortSignal): Promise<RunResult> {
    const perform = async (durable: DurableRuns, recorder: Recorder | undefined): Promise<SessionReport> => {
      await durable.cancel(runId, signal)
      const { maxOutputBytes, maxRunOutputBytes: mostBytes } = this.#runtime.config.settings
      return durable.follow({ runId, from: BEGINNING, maxOutputBytes, mostBytes, onOutput: recorder?.over(undefined), onNotice: undefined, signal, budgetMs: 0 })
    }
    return this.#ofRun(vmId, runId, { operation: 'run_cancel', perform })
  }

  /** The durable runs that a host knows. Rejects with why it cannot be asked. */
  hostRuns(vmId: string, signal?: AbortSignal): Promise<ReadonlyMap<string, RunFactsOnHost>> {
    return this.#asked(vmId, describeOther('run_list'), (session) => new DurableRuns(session, this.#runtime.sessions.clock).list(signal))
  }

  /** Removes durable runs that are over from a host; resolves with their ids. Rejects with why it cannot be asked. */
  prune(vmId: string, which: Parameters<DurableRuns['prune']>[0], signal?: AbortSignal): Promise<readonly string[]> {
    return this.#asked(vmId, describeOther('run_prune', { bound: { run_id: which.runId, older_than_ms: which.olderThanMs } }), (session) => new DurableRuns(session, this.#runtime.sessions.clock).prune(which, signal))
  }

  #recording({ secrets }: Pick<Description, 'secrets'>): RunRecording {
    const { config: { settings }, sessions: { clock } } = this.#runtime
    return new RunRecording({ settings, clock, secrets })
  }

  async #ofRun(vmId: string, runId: string, { operation, perform }: { operation: string; perform: (durable: DurableRuns, recorder: Recorder | undefined) => Promise<SessionReport> }): Promise<RunResult> {
    const { sessions, registry, user } = this.#runtime
    const note = (await registry.find(runId)).find((one) => one.vmId === vmId)
    const about = { runId, vmId, user, operation: note?.operation ?? ('run' as const), command: note?.command ?? '' }
    const recording = this.#recording({ secrets: [] })
    return this.#gate.through(vmId, {
      description: describeOther(operation, { command: about.command, bound: { run_id: runId } }),
      runId,
      finish: (result, connection) => ({ ...runFinish(result, connection), ...recording.fields }),
      // What could not be asked of the host is not known, and may well have run.
      failed: (error, result) => (result ? new RunResult({ ...result, error: result.error ?? error }) : notStarted(about, withDetails(error, { mayHaveRun: true }), sessions.clock.now())),
      perform: async (session, terms) => {
        const report = await recording.during(terms, (recorder) => perform(new DurableRuns(session, sessions.clock), recorder))
        if (isOver(report)) await registry.finish(runId, vmId, { ended: report.ended, exitCode: report.exitCode, finishedAt: report.timestamp })
        return new RunResult({ ...about, ...report })
      },
    })
  }

  #asked<T>(vmId: string, description: Description, perform: (session: Session) => Promise<T>): Promise<T> {
    return this.#gate.through(vmId, {
      description,
      runId: newRunId(this.#runtime.sessions.clock.now()),
      perform,
      finish: (): FinishFields => ({ status: 'success' }),
      failed: (error) => {
        throw error
      },
    })
  }

  /** Connects and authenticates, and does nothing else. Rejects with why not. */
  async check(vmId: string, signal?: AbortSignal): Promise<ConnectionInfo> {
    return this.#gate.through(vmId, {
      description: describeOther('host_check'),
      runId: newRunId(this.#runtime.sessions.clock.now()),
      perform: (session) => session.connect(signal),
      finish: (connection) => stepFinish(connection),
      failed: (error) => {
        throw error
      },
    })
  }

  /** One step of enrolment on a host. Rejects with why it could not be done. */
  async step<T>(vmId: string, { operation, userKey, about, identities, signal, facts }: StepRequest<T>, work: (on: HostSteps) => Promise<T>): Promise<T> {
    const { sessions, config: { settings } } = this.#runtime
    // A login is proven by logging in: what is open already proves nothing.
    const own = identities && { ...sessions, pool: new ConnectionPool(1), identitiesOf: (host: HostConfig) => (host.id === vmId ? Promise.resolve(identities) : sessions.identitiesOf(host)) }
    try {
      return await this.#gate.through(vmId, {
        description: describeOther(operation, { fields: userKey === undefined ? {} : { user_key: userKey }, bound: { user_key: userKey, about } }),
        runId: newRunId(sessions.clock.now()),
        session: own && ((host) => new Session(host, own)),
        perform: (session) => work(hostSteps(session, { clock: sessions.clock, attempts: settings.defaultRetry, signal })),
        finish: (result, connection) => ({ ...stepFinish(connection), ...facts?.(result) }),
        failed: (error) => {
          throw error
        },
      })
    } finally {
      own?.pool.close()
    }
  }

  async #runLike(
    vmId: string,
    description: Description,
    request: RunRequest | ScriptRequest,
    execute: (session: Session, runId: string, recorder: Recorder | undefined) => Promise<SessionReport>,
  ): Promise<RunResult> {
    const { config, sessions, user } = this.#runtime
    isDurable(request.options)
    const runId = request.options.runId ?? newRunId(sessions.clock.now())
    const about = { runId, vmId, user, operation: request.operation, command: description.command ?? '' }
    const host = config.hosts.get(vmId)
    // What is wrong with the call itself is said before anything is decided or logged.
    if (host) decideOptions(request.options, host, config.settings)
    const recording = this.#recording(description)
    const perform = async (session: Session, terms: Terms): Promise<RunResult> =>
      new RunResult({ ...about, ...(await recording.during(terms, (recorder) => execute(session, runId, recorder))) })
    const failed = (error: RemexError, result?: RunResult): RunResult =>
      result ? new RunResult({ ...result, error: result.error ?? error }) : notStarted(about, error, sessions.clock.now())
    return this.#gate.through(vmId, { description, runId, perform, finish: (result, connection) => ({ ...runFinish(result, connection), ...recording.fields }), failed })
  }

  /** Runs a command on a channel, or durably: then it is noted first, so that it can be found again whatever becomes of us. */
  async #execute(session: Session, asked: Invocation, { request, shown, identity, unused, recorder }: Asked): Promise<SessionReport> {
    const invocation = recorder ? { ...asked, onOutput: recorder.over(asked.onOutput) } : asked
    if (!isDurable(request.options)) return session.run(invocation)
    const { sessions, registry, config } = this.#runtime
    refuseUndurable(invocation)
    const durable = new DurableRuns(session, sessions.clock)
    const { runId, maxOutputBytes, onOutput, signal, timeoutMs } = invocation
    await this.#note(session, runId, { request, shown })
    const begun = await durable.start(invocation, { shown, identity, mostBytes: config.settings.maxRunOutputBytes })
    if (!begun.isNew) await unused?.()
    const report = await durable.follow({ runId, from: BEGINNING, maxOutputBytes, mostBytes: config.settings.maxRunOutputBytes, onOutput, onNotice: request.options.onNotice, signal, budgetMs: timeoutMs }, begun)
    if (isOver(report)) await registry.finish(runId, session.host.id, { ended: report.ended, exitCode: report.exitCode, finishedAt: report.timestamp })
    return report
  }

  async #note(session: Session, runId: string, { request, shown }: Asked): Promise<void> {
    const { registry, sessions, user } = this.#runtime
    const startedAt = new Date(sessions.clock.now()).toISOString()
    // A second start of the same id only attaches; the first note stays.
    if ((await registry.find(runId)).some((note) => note.vmId === session.host.id)) return
    await registry.add({ runId, vmId: session.host.id, user, operation: request.operation, command: shown, startedAt, ended: null, exitCode: null, finishedAt: null })
  }

  async #runScript(session: Session, runId: string, asked: Asked<ScriptRequest>): Promise<SessionReport> {
    const { path, options } = asked.request
    const { settings } = this.#runtime.config
    const [decided, call] = [decideOptions(options, session.host, settings), { args: options.args ?? [], interpreter: options.interpreter }]
    if (options.remote) return this.#execute(session, { ...decided, runId, text: scriptText({ ...call, path, removeAfter: undefined }) }, asked)
    const access = transferAccess(session, this.#runtime.sessions.clock)
    const otherUser = decided.sudoUser !== undefined && decided.sudoUser !== 'root'
    const sending = await this.#move(session, { ...decided, what: 'sending the script' }, (signal) => sendScript(access, path, { content: asked.script?.content, otherUser, signal }))
    if (sending.outcome.error) return this.#unsent(session, sending.outcome.error, sending)
    const file = sending.outcome.value
    // Another user may not remove the directory; then only the login does, below.
    const removeAfter = options.keep || decided.sudoUser !== undefined ? undefined : file.directory
    const unused = (): Promise<void> => removeScript(access, file.directory)
    const sent = { ...asked, identity: identityOf(file, call), unused }
    const report = await this.#execute(session, { ...decided, runId, text: scriptText({ ...call, path: file.path, removeAfter }) }, sent)
    // A durable run may go on; its shell removes the script.
    const removed = removeAfter !== undefined && (report.ended === 'exited' || isDurable(options))
    if (!options.keep && !removed) await removeScript(access, file.directory)
    return report
  }

  /** The report of a script that did not get to the host, so that nothing of it ran. */
  #unsent(session: Session, error: RemexError, { attempts, failures, executionTime }: Omit<Moved<unknown>, 'outcome'>): SessionReport {
    const { connection } = session
    return { ...neverRan(error, this.#runtime.sessions.clock.now()), attempts, failures, executionTime, engine: connection?.engine ?? null, connection }
  }

  async #attemptTransfer(session: Session, request: TransferRequest, record: TreeRecord | undefined): Promise<{ outcome: TransferAttempt; attempts: number }> {
    const { operation, local, remote, options } = request
    const access = transferAccess(session, this.#runtime.sessions.clock)
    const move = { ...decideTransfer(request, this.#runtime.config.settings), signal: options.signal, what: 'the transfer' }
    const { mode, preserve, checksum, onProgress, insecureSkipVerify, onChange, rules } = options
    const onPlan = options.dryRun ? (step: Step): void => tellChange(step, onChange) : undefined
    const limit = request.limit ?? this.limitTo(options.limitRate)
    let attempt = 0
    const { outcome, attempts } = await this.#move(session, move, (signal) => {
      // What an attempt of ours left behind is as good as what the caller asks for by name.
      const resume = options.resume === true || ++attempt > 1
      const tree = record && { ...record, delete: options.delete, rules, onPlan, tally: Object.assign(record.tally, emptyTally()) }
      const shared = { mode, preserve, checksum, limit, beside: request.beside, onProgress, verify: !insecureSkipVerify, partials: this.#runtime.partials, signal }
      return transfer(access, { operation, local, remote, resume, tree, ...shared })
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
        return { error: withDetails(signal.aborted ? interrupted(error, signal, what) : asRemexError(error), { vmId: session.host.id }) }
      }
    }
    const retried = await withRetries({ attempts, budgetMs: timeoutMs, signal, clock }, attempt, ({ error }) => (error?.retryable ? error : undefined))
    return { ...retried, executionTime: Math.round((clock.monotonicMs() - startMs) * 1000) / 1e6 }
  }

  /** Resolves when nothing runs any more and the log has how it ended; after a while even so. */
  settled(): Promise<void> {
    return this.#gate.settled()
  }
}

/** The error of an abort: what was under way may know more of it than that it was aborted. */
function interrupted(error: unknown, signal: AbortSignal, what: string): RemexError {
  const known = asRemexError(error)
  return ['CANCELLED', 'TIMED_OUT'].includes(known.code) ? known : cancelledError(signal, what)
}
