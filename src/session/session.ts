import { Readable } from 'node:stream'
import type { HostConfig } from '../config/types.ts'
import { cancelledError } from '../core/abort.ts'
import { formatDurationMs } from '../core/duration.ts'
import { asRemexError, remexError, RemexError, withDetails } from '../core/errors.ts'
import type { HostKey } from '../core/host-key.ts'
import type { RunFacts } from '../core/outcome.ts'
import type { Channel, ConnectionInfo } from '../transport/contract.ts'
import { runAttempt, type AttemptReport } from './attempt.ts'
import { Capture } from './capture.ts'
import { loginMethods, offeredHostKeys, openOn, type SessionRuntime } from './connect.ts'
import type { Invocation } from './invocation.ts'
import type { Prelude } from './prelude.ts'
import { withRetries } from './retry.ts'

/** What a run came to, as far as the session knows it: without who asked and how people read the command. */
export interface SessionReport extends Omit<RunFacts, 'runId' | 'vmId' | 'user' | 'operation' | 'command'> {
  /** The connection that served the last attempt; undefined where there was none. */
  readonly connection: ConnectionInfo | undefined
}

interface Attempt {
  readonly report?: AttemptReport
  readonly error?: RemexError
  readonly stdout: Capture
  readonly stderr: Capture
}

/** One host: runs commands on it and opens its subsystems, over connections of the pool. */
export class Session {
  readonly host: HostConfig
  readonly #runtime: SessionRuntime
  #connection: ConnectionInfo | undefined

  constructor(host: HostConfig, runtime: SessionRuntime) {
    this.host = host
    this.#runtime = runtime
  }

  /** The connection last used; undefined where there was none. */
  get connection(): ConnectionInfo | undefined {
    return this.#connection
  }

  /**
   * Runs a command, again where that cannot run it twice, and reports how it ended. Failures are in the report;
   * rejects only with `USAGE` for a command that cannot be sent, and with what a live listener throws or the source of the input fails with.
   */
  async run(invocation: Invocation): Promise<SessionReport> {
    const { clock } = this.#runtime
    const startMs = clock.monotonicMs()
    const policy = { attempts: invocation.attempts, budgetMs: invocation.timeoutMs, signal: invocation.signal, clock }
    const retried = await withRetries(policy, () => this.#attempt(invocation), (attempt) => retryReason(attempt, invocation))
    return { ...this.#summary(retried.outcome, invocation.timeoutMs), ...timing(startMs, clock), attempts: retried.attempts, failures: retried.failures }
  }

  /** Starts a subsystem (`sftp`) on the host. Rejects as connecting does. */
  subsystem(name: string, signal?: AbortSignal): Promise<Channel> {
    return this.#open((connection) => connection.subsystem(name), signal)
  }

  /** Connects, or finds that it is connected. Rejects as connecting does. */
  async connect(signal?: AbortSignal): Promise<ConnectionInfo> {
    const closed = Promise.resolve()
    const { connection } = await openOn(this.#runtime, this.host, { open: () => Promise.resolve({ closed }), signal })
    return (this.#connection = connection.info)
  }

  /** All host keys that the host shows to anybody; proves nothing. Rejects where it cannot be reached. */
  offeredHostKeys(signal?: AbortSignal): Promise<readonly HostKey[]> {
    return offeredHostKeys(this.#runtime, this.host, signal)
  }

  /** The host keys that the host proves to hold over an authenticated connection. Rejects as connecting does. */
  async provenHostKeys(signal?: AbortSignal): Promise<readonly HostKey[]> {
    const closed = Promise.resolve()
    const { connection } = await openOn(this.#runtime, this.host, { open: () => Promise.resolve({ closed }), signal, wantsHostKeys: true })
    this.#connection = connection.info
    return connection.provenHostKeys()
  }

  /** What the host accepts as proof of who logs in; `['none']` for nothing at all. Rejects as connecting does, but for the login. */
  loginMethods(signal?: AbortSignal): Promise<readonly string[]> {
    return loginMethods(this.#runtime, this.host, signal)
  }

  async #open(open: Parameters<typeof openOn<Channel>>[2]['open'], signal: AbortSignal | undefined): Promise<Channel> {
    const { held, connection } = await openOn(this.#runtime, this.host, { open, signal, isSession: true })
    this.#connection = connection.info
    return held
  }

  async #attempt(invocation: Invocation): Promise<Attempt> {
    const stdout = new Capture(invocation.maxOutputBytes)
    const stderr = new Capture(invocation.maxOutputBytes)
    const { clock } = this.#runtime
    try {
      if (invocation.signal?.aborted) throw cancelledError(invocation.signal, 'the command')
      const open = (sent: Prelude, sending: () => void): Promise<Channel> =>
        this.#open((connection) => {
          sending()
          return this.#runtime.loginShells.exec(connection, sent, sent.pty && { pty: sent.pty })
        }, invocation.signal)
      const killer = { open: (command: string, signal: AbortSignal) => this.#open((connection) => connection.exec(command), signal) }
      const report = await runAttempt(invocation, { vmId: this.host.id, clock, stdout, stderr, open, killer })
      return { report, stdout, stderr }
    } catch (error) {
      if (!(error instanceof RemexError) || error.code === 'USAGE') throw error
      return { error: withDetails(asRemexError(error), { vmId: this.host.id }), stdout, stderr }
    }
  }

  #summary({ report, error, stdout, stderr }: Attempt, timeoutMs: number): Omit<SessionReport, 'attempts' | 'failures' | 'executionTime' | 'timestamp'> {
    return {
      ...(report ? this.#ended(report, timeoutMs) : { ...NO_EXIT, ended: error?.mayHaveRun ? 'lost' : 'not_started', error: error ?? null }),
      stdoutRaw: stdout.bytes(),
      stderrRaw: stderr.bytes(),
      stdoutBytes: stdout.totalBytes,
      stderrBytes: stderr.totalBytes,
      truncated: stdout.truncated || stderr.truncated,
      outputIncomplete: report?.outputIncomplete ?? false,
      engine: this.#connection?.engine ?? null,
      connection: this.#connection,
    }
  }

  #ended({ end }: AttemptReport, timeoutMs: number): Pick<SessionReport, keyof typeof NO_EXIT | 'ended' | 'error'> {
    const ended = end.kind
    if (end.kind === 'exited') return { ...NO_EXIT, ended, exitCode: end.exitCode, error: null }
    if (end.kind === 'signaled') return { ...NO_EXIT, ended, signal: end.signal, error: null }
    if (end.kind === 'lost') return { ...NO_EXIT, ended, error: this.#lost(end) }
    return { ...NO_EXIT, ended, killed: end.killed, error: this.#stopped(end.kind, timeoutMs) }
  }

  #lost({ after }: Extract<AttemptReport['end'], { readonly kind: 'lost' }>): RemexError {
    const { id: vmId, address, port } = this.host
    const broke = `the connection to ${vmId} (${address} port ${port}) broke`
    const about = { vmId, mayHaveRun: true }
    if (!after) return remexError('CONNECTION_LOST', `${broke} while the command ran; how it ended is not known`, about)
    const how = after.kind === 'exited' ? `exit status ${after.exitCode}` : `SIG${after.signal}`
    const hint = 'It is over, and only output is missing. Repeat it where that is harmless; with --durable what is missing is fetched.'
    return remexError('CONNECTION_LOST', `${broke} after the command had ended (${how}) and before all of its output had come`, { ...about, hint })
  }

  #stopped(kind: 'timed_out' | 'cancelled', timeoutMs: number): RemexError {
    const vmId = this.host.id
    if (kind === 'cancelled') return remexError('CANCELLED', `the command on ${vmId} was cancelled`, { vmId, mayHaveRun: true })
    return remexError('TIMED_OUT', `the command on ${vmId} did not end within ${formatDurationMs(timeoutMs)}`, { vmId, mayHaveRun: true })
  }
}

const NO_EXIT = { exitCode: null, signal: null, killed: null } as const

function timing(startMs: number, clock: SessionRuntime['clock']): Pick<SessionReport, 'executionTime' | 'timestamp'> {
  const seconds = (clock.monotonicMs() - startMs) / 1000
  return { executionTime: Math.round(seconds * 1e6) / 1e6, timestamp: new Date(clock.now()).toISOString() }
}

/** Why to try again, if that cannot run a command twice or the caller said that running it twice is harmless. */
function retryReason({ report, error }: Attempt, { idempotent, stdin }: Invocation): RemexError | undefined {
  // A stream can be read once: another attempt would get the rest of the input, or none.
  if (stdin instanceof Readable && stdin.readableDidRead) return undefined
  if (error) return error.retryable || (idempotent && error.code === 'CONNECTION_LOST') ? error : undefined
  if (report?.end.kind === 'lost' && idempotent) return remexError('CONNECTION_LOST', 'the connection broke')
  return undefined
}
