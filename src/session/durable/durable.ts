import { createHash } from 'node:crypto'
import { PassThrough } from 'node:stream'
import type { Clock } from '../../core/clock.ts'
import { formatDurationMs } from '../../core/duration.ts'
import { remexError, type RemexError } from '../../core/errors.ts'
import { newRunId } from '../../core/run-id.ts'
import { printable } from '../../core/printable.ts'
import { Secret } from '../../core/secret.ts'
import { quoteWord } from '../../core/quote.ts'
import { Capture } from '../capture.ts'
import type { Invocation, OutputListener } from '../invocation.ts'
import type { Session, SessionReport } from '../session.ts'
import { readFacts, type RunFactsOnHost } from './facts.ts'
import { HeaderSplitter } from './header.ts'
import { cancelProgram, fetchProgram, followProgram, HEADER_END, listProgram, pruneProgram, startProgram, type Offsets } from './programs.ts'

/** The host keeps the deadline; this much later the client stops trying to hear of it. */
const OVERTIME_MS = 60_000
const LONGEST_WAIT_MS = 10_000
/** A host that was never reached is given up after so many tries; one that was is waited for. */
const FIRST_TRIES = 3
/** What passes by itself. All else would be the same the next time. */
const PASSING: ReadonlySet<string> = new Set(['CONNECTION_LOST', 'UNREACHABLE', 'THROTTLED', 'CONNECT_TIMEOUT', 'CHANNEL_REFUSED'])
/** Linux allows 128 KiB for one argument, and the command is one of the supervisor's. */
const LONGEST_TEXT_BYTES = 120 * 1024
/** Answers of Remex's own programs are short; a listing has a few lines for each run. */
const MOST_ANSWER_BYTES = 8 * 1024 * 1024

/** Where to go on, and who listens. */
export interface Following {
  readonly runId: string
  readonly from: Offsets
  readonly maxOutputBytes: number
  /** Where the host cuts each stream: what is past it is not kept, and a file that was cut is read again from its start. */
  readonly mostBytes: number
  readonly onOutput: OutputListener | undefined
  /** What happened to the connection, for people. */
  readonly onNotice: ((text: string) => void) | undefined
  /** Leaves the run alone and stops following. */
  readonly signal: AbortSignal | undefined
  /** No attempt to attach again begins later than this after the first. */
  readonly budgetMs: number
}

/** How a run is written down on its host. */
export interface StartDetails {
  /** The command for people. */
  readonly shown: string
  /** The most bytes that each output file may have. */
  readonly mostBytes: number
  /** What is run, where the text does not tell: a script is sent to another place each time. Default: the text. */
  readonly identity: string | undefined
}

/** Refuses with `USAGE` what cannot be run durably: a terminal, a stream as input, a command too long for one argument. */
export function refuseUndurable(invocation: Invocation): void {
  commandOf(invocation)
  inputOf(invocation)
}

/** A run that was begun, now or before. */
export interface Begun {
  /** False where it had been begun before. */
  readonly isNew: boolean
  /** All of it, where it has ended already and said little. */
  readonly whole: { readonly facts: RunFactsOnHost; readonly stdout: Buffer; readonly stderr: Buffer } | undefined
}

/** Durable runs on one host: started once whoever asks, followed over any number of connections. */
export class DurableRuns {
  readonly #session: Session
  readonly #clock: Clock

  constructor(session: Session, clock: Clock) {
    this.#session = session
    this.#clock = clock
  }

  /**
   * Starts the command under its run id, unless it was started before. Safe to repeat: the host lets one caller only.
   * Rejects with `USAGE` where the id belongs to another command, and as a run does where the host cannot be asked.
   */
  async start(invocation: Invocation, { shown, mostBytes, identity }: StartDetails): Promise<Begun> {
    const { runId, cwd, timeoutMs } = invocation
    const input = inputOf(invocation)
    const order = { runId, text: commandOf(invocation), shown, cwd, timeoutMs, mostBytes, hash: hashOf(invocation, identity), inputBytes: input?.length }
    const text = startProgram(order)
    const report = await this.#program(text, { env: invocation.env, stdin: input, attempts: Math.max(invocation.attempts, 3), signal: invocation.signal, unstoppable: true, timeoutMs: OVERTIME_MS })
    const [, word = '', why = ''] = /^remex-run (\S+) ?(.*)$/m.exec(report.stdoutRaw.toString('utf8')) ?? []
    if (word === 'started' || word === 'there') return { isNew: word === 'started', whole: wholeOf(report) }
    throw this.#notStarted(runId, word, why || report.stderrRaw.toString('utf8'))
  }

  /** Follows a run to its end, through broken connections; the report is that of the run. `begun`: what its start told. */
  async follow(following: Following, begun?: Begun): Promise<SessionReport> {
    const startMs = this.#clock.monotonicMs()
    const reader = new Reader(following)
    if (begun?.whole) {
      await reader.take('stdout', begun.whole.stdout)
      await reader.take('stderr', begun.whole.stderr)
      return this.#report(reader, { startMs, facts: begun.whole.facts })
    }
    let reached = begun !== undefined
    for (let broken = 0; ; ) {
      const { facts, error } = await this.#round(following, reader)
      if (following.signal?.aborted) return this.#report(reader, { startMs, error: this.#detached(following.runId) })
      if (facts && facts.state !== 'running' && facts.state !== 'starting') return this.#report(reader, { startMs, facts })
      if (!facts) reader.failures.push(error?.code ?? 'CONNECTION_LOST')
      reached ||= facts !== undefined || error?.code === 'CONNECTION_LOST'
      if (facts) broken = 0
      else if (error && (!PASSING.has(error.code) || (!reached && broken + 1 >= FIRST_TRIES))) throw error
      else if (this.#clock.monotonicMs() - startMs > following.budgetMs + OVERTIME_MS) return this.#report(reader, { startMs, error: this.#outOfReach(following.runId) })
      else await this.#pause(following, reader, ++broken)
    }
  }

  /** Ends a run and tells how it ended; a run that had ended by itself stays as it was. */
  async cancel(runId: string, signal?: AbortSignal): Promise<RunFactsOnHost> {
    return readFacts(await this.#lines(cancelProgram(runId), signal))
  }

  /** All runs that the host knows. */
  async list(signal?: AbortSignal): Promise<ReadonlyMap<string, RunFactsOnHost>> {
    const runs = new Map<string, string[]>()
    let current: string[] = []
    for (const line of await this.#lines(listProgram(), signal)) {
      if (line.startsWith('run ')) runs.set(line.slice(4), (current = []))
      else current.push(line)
    }
    return new Map([...runs].map(([runId, lines]) => [runId, readFacts(lines)]))
  }

  /** Removes runs that are over from the host; returns their ids. */
  async prune(which: { readonly runId: string | undefined; readonly olderThanMs: number }, signal?: AbortSignal): Promise<readonly string[]> {
    const lines = await this.#lines(pruneProgram(which), signal)
    return lines.flatMap((line) => (line.startsWith('pruned ') ? [line.slice('pruned '.length)] : []))
  }

  /** One connection's worth of following: live until the end, then what is left and how it ended; or why it broke off. */
  async #round(following: Following, reader: Reader): Promise<{ readonly facts?: RunFactsOnHost; readonly error?: RemexError }> {
    const { runId, signal } = following
    // Held open, it tells the host that we are still here.
    const stdin = new PassThrough()
    const live = await this.#program(followProgram(runId, reader.offsets), { stdin, onOutput: reader.take, signal, quiet: true })
    stdin.destroy()
    if (live.ended !== 'exited' || signal?.aborted) return { ...(live.error && { error: live.error }) }
    const header = new HeaderSplitter(reader.take)
    const rest = await this.#program(fetchProgram(runId, reader.offsets), { onOutput: header.take, signal, quiet: true })
    if (rest.ended === 'exited' && header.lines && !rest.outputIncomplete) return { facts: readFacts(header.lines) }
    return { ...(rest.error && { error: rest.error }) }
  }

  async #lines(text: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
    const report = await this.#program(text, { signal, attempts: 3, timeoutMs: OVERTIME_MS })
    if (report.error) throw report.error
    return report.stdoutRaw.toString('utf8').split('\n')
  }

  async #program(text: string, how: ProgramOptions): Promise<SessionReport> {
    let isOver = false
    // What comes after its end another one fetches: nothing may come twice.
    const onOutput = how.onOutput && ((...given: Parameters<OutputListener>) => (isOver ? undefined : how.onOutput?.(...given)))
    const report = await this.#session.run({
      runId: newRunId(this.#clock.now()),
      text,
      env: how.env ?? {},
      cwd: undefined,
      sudoUser: undefined,
      pty: undefined,
      stdin: how.stdin,
      timeoutMs: how.timeoutMs ?? Infinity,
      maxOutputBytes: how.quiet ? 0 : MOST_ANSWER_BYTES,
      idempotent: !how.quiet,
      attempts: how.attempts ?? 1,
      onOutput,
      signal: how.signal,
      ...(how.unstoppable && { unstoppable: true }),
    })
    isOver = true
    if (report.error && !how.quiet) throw report.error
    return report
  }

  async #pause({ runId, signal, onNotice }: Following, { offsets }: Reader, broken: number): Promise<void> {
    const waitMs = broken === 1 ? 0 : Math.random() * Math.min(LONGEST_WAIT_MS, 250 * 2 ** broken)
    onNotice?.(`${this.#session.host.id}: the connection broke; attaching to ${runId} again at byte ${offsets.stdout}${waitMs > 0 ? ` in ${formatDurationMs(Math.round(waitMs))}` : ''}`)
    if (waitMs > 0) await this.#clock.sleep(waitMs, signal).catch(() => undefined)
  }

  #notStarted(runId: string, word: string, why: string): RemexError {
    const { id: vmId } = this.#session.host
    if (word === 'other') return remexError('USAGE', `run ${runId} on ${vmId} is another command: an id starts one command only`, { vmId, hint: 'Take another --run-id, or see what it was: remex runs show ' + runId })
    if (word === 'input') return remexError('CONNECTION_LOST', `not all of the input of ${runId} came to ${vmId}, so nothing was started`, { vmId })
    const said = printable(why.trim()).slice(0, 200)
    return remexError('PERMISSION_DENIED', `the run ${runId} could not be written down on ${vmId}${said ? `: ${said}` : ''}`, { vmId, hint: 'A durable run needs a writable ~/.local/state/remex/runs with space on the host. Nothing was started.' })
  }

  #detached(runId: string): RemexError {
    return remexError('CANCELLED', `left ${runId} on ${this.#session.host.id}, where it goes on`, { vmId: this.#session.host.id, mayHaveRun: true, hint: `Come back to it: remex runs attach ${runId}` })
  }

  #outOfReach(runId: string): RemexError {
    return remexError('CONNECTION_LOST', `${this.#session.host.id} cannot be reached any more; how ${runId} ended is not known here`, { vmId: this.#session.host.id, mayHaveRun: true, hint: `The host keeps it: remex runs attach ${runId}` })
  }

  #report(reader: Reader, { startMs, facts, error }: Outcome): SessionReport {
    const { id: vmId } = this.#session.host
    const ended = facts?.ended
    const lost = facts && !ended ? remexError(facts.state === 'none' ? 'RUN_NOT_FOUND' : 'CONNECTION_LOST', `${vmId}: ${facts.evidence}`, { vmId, mayHaveRun: facts.state !== 'unbegun' && facts.state !== 'none', hint: 'Look at the host before you start it again.' }) : undefined
    return {
      ended: ended?.kind ?? (lost?.mayHaveRun === false ? 'not_started' : 'lost'),
      exitCode: ended?.exitCode ?? null,
      signal: ended?.signal ?? null,
      killed: ended?.killed ?? null,
      error: error ?? lost ?? stopError(vmId, ended?.kind),
      ...reader.captured(),
      outputIncomplete: facts?.cut ?? false,
      executionTime: Math.round((this.#clock.monotonicMs() - startMs) * 1000) / 1e6,
      timestamp: new Date(this.#clock.now()).toISOString(),
      attempts: reader.failures.length + 1,
      failures: reader.failures,
      engine: this.#session.connection?.engine ?? null,
      connection: this.#session.connection,
    }
  }
}

interface Outcome {
  readonly startMs: number
  readonly facts?: RunFactsOnHost
  readonly error?: RemexError
}

interface ProgramOptions {
  readonly env?: Invocation['env']
  readonly stdin?: Invocation['stdin']
  readonly attempts?: number
  readonly timeoutMs?: number
  readonly onOutput?: OutputListener
  readonly signal?: AbortSignal | undefined
  /** An abort of the signal that comes once it was sent does not end it. */
  readonly unstoppable?: boolean
  /** Output goes to the listener alone, and a failure is the caller's to judge. */
  readonly quiet?: boolean
}

/** What came behind the answer to a start; undefined where nothing did, or not all. */
function wholeOf({ stdoutRaw, stderrRaw }: SessionReport): Begun['whole'] {
  const afterWord = stdoutRaw.indexOf('\n') + 1
  const end = stdoutRaw.indexOf(`\n${HEADER_END}\n`, afterWord)
  if (end < 0) return undefined
  const facts = readFacts(stdoutRaw.toString('utf8', afterWord, end).split('\n'))
  const stdout = stdoutRaw.subarray(end + HEADER_END.length + 2)
  const isWhole = stdout.length === facts.stdoutBytes && stderrRaw.length === facts.stderrBytes
  return isWhole && facts.state === 'ended' ? { facts, stdout, stderr: stderrRaw } : undefined
}

function stopError(vmId: string, kind: string | undefined): RemexError | null {
  if (kind === 'timed_out') return remexError('TIMED_OUT', `the command on ${vmId} did not end in time`, { vmId, mayHaveRun: true })
  if (kind === 'cancelled') return remexError('CANCELLED', `the command on ${vmId} was cancelled`, { vmId, mayHaveRun: true })
  return null
}

/** Takes output in order, counts it, keeps the beginning: what tells where to go on after a break. */
class Reader {
  /** Why each connection broke; goes into the audit record. */
  readonly failures: string[] = []
  readonly #stdout: Capture
  readonly #stderr: Capture
  readonly #from: Offsets
  readonly #mostBytes: number
  readonly #onOutput: OutputListener | undefined

  constructor({ from, maxOutputBytes, mostBytes, onOutput }: Following) {
    this.#from = from
    this.#mostBytes = mostBytes
    this.#onOutput = onOutput
    this.#stdout = new Capture(maxOutputBytes)
    this.#stderr = new Capture(maxOutputBytes)
  }

  get offsets(): Offsets {
    return { stdout: this.#from.stdout + this.#stdout.totalBytes, stderr: this.#from.stderr + this.#stderr.totalBytes }
  }

  readonly take: OutputListener = (stream, given) => {
    const chunk = given.subarray(0, Math.max(0, this.#mostBytes - this.offsets[stream]))
    if (chunk.length === 0) return
    const capture = stream === 'stdout' ? this.#stdout : this.#stderr
    capture.add(chunk)
    return this.#onOutput?.(stream, chunk)
  }

  captured(): Pick<SessionReport, 'stdoutRaw' | 'stderrRaw' | 'stdoutBytes' | 'stderrBytes' | 'truncated'> {
    const [out, err] = [this.#stdout, this.#stderr]
    return { stdoutRaw: out.bytes(), stderrRaw: err.bytes(), stdoutBytes: out.totalBytes, stderrBytes: err.totalBytes, truncated: out.truncated || err.truncated }
  }
}

/** Under sudo the tree begins with sudo itself, which has the run id from the supervisor. */
function commandOf({ text, sudoUser, env, pty, runId }: Invocation): string {
  if (Buffer.byteLength(text) > LONGEST_TEXT_BYTES) throw remexError('USAGE', `a durable command has at most ${LONGEST_TEXT_BYTES} bytes`, { hint: 'Send it as a script: remex script <targets> <path> --durable' })
  if (pty) throw remexError('USAGE', 'a durable run has no terminal: leave out --pty')
  const place = ['HOME', 'XDG_STATE_HOME'].find((name) => name in env)
  if (place !== undefined) throw remexError('USAGE', `a durable run cannot be given ${place}: its files are found by it`, { hint: `Set it in the command: ${place}=… command` })
  if (sudoUser === undefined) return text
  if (Object.keys(env).length > 0) throw remexError('USAGE', 'a durable run under sudo cannot have variables: sudo takes them away, and they must be in no file')
  return `exec sudo -n -u ${quoteWord(sudoUser)} -- /bin/sh -c ${quoteWord(`export REMEX_RUN_ID=${runId}; ${text}`)}`
}

function inputOf({ stdin }: Invocation): Buffer | undefined {
  if (stdin === undefined || Buffer.isBuffer(stdin)) return stdin
  throw remexError('USAGE', 'the input of a durable run must be whole before it starts: give it as text or bytes')
}

function hashOf({ text, cwd, sudoUser, env, stdin }: Invocation, identity = text): string {
  const values = Object.entries(env).map(([name, value]) => [name, value instanceof Secret ? '' : value])
  const input = Buffer.isBuffer(stdin) ? createHash('sha256').update(stdin).digest('hex') : ''
  return createHash('sha256').update(JSON.stringify([identity, cwd ?? '', sudoUser ?? '', values, input])).digest('hex')
}
