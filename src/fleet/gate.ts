import type { FinishFields } from '../audit/log.ts'
import type { HostConfig } from '../config/types.ts'
import type { RemexError } from '../core/errors.ts'
import type { Session, SessionReport } from '../session/session.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import type { DecidedOptions } from './invocation.ts'
import type { LocalScript } from './local-script.ts'
import type { Description } from './record.ts'
import type { Recorder, Terms } from './recorder.ts'
import type { RunRequest, ScriptRequest } from './requests.ts'

/** A request and how people read it. */
export interface Asked<R extends RunRequest | ScriptRequest = RunRequest | ScriptRequest> {
  readonly request: R
  readonly shown: string
  /** Of a script of this machine. */
  readonly script?: LocalScript | undefined
  /** Keeps its output. */
  readonly recorder?: Recorder | undefined
  /** What is run, where its text does not tell. */
  readonly identity?: string
  /** The run was there already: what was sent for it is not needed. */
  readonly unused?: () => Promise<void>
}

/** What passes the gate: what it is, how it is done, and what the log and the caller are told. */
export interface Gate<R> {
  readonly description: Description
  readonly runId: string
  /** A session of its own, with another login. Default: the host's usual one. */
  readonly session?: ((host: HostConfig) => Session) | undefined
  readonly perform: (session: Session, terms: Terms) => Promise<R>
  readonly finish: (result: R, connection: ConnectionInfo | undefined) => FinishFields
  /** The result of a failure; `result` is there when it ran and only the log could not be told. */
  readonly failed: (error: RemexError, result?: R) => R
}

/** How often and how long something may be tried. */
export interface Move extends Pick<DecidedOptions, 'attempts' | 'timeoutMs' | 'signal'> {
  /** For the message of a deadline. */
  readonly what: string
}

/** What became of it. */
export interface Moved<T> extends Pick<SessionReport, 'attempts' | 'failures' | 'executionTime'> {
  readonly outcome: { readonly value: T; readonly error?: undefined } | { readonly error: RemexError; readonly value?: undefined }
}
