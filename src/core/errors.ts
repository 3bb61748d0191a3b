/**
 * The one table of error codes. Every error that leaves Remex has its code, hint and exit status from here;
 * `docs/errors.md` and the tests are held to it in both directions.
 */

/** What kind of failure a code is; decides the class that is thrown. */
export type ErrorFamily = 'general' | 'connection' | 'host-key' | 'authentication' | 'timeout'

/** One row of {@link ERRORS}. */
export interface ErrorEntry {
  /** What happened, in general words; the message of an error says it of one host or one thing. */
  readonly summary: string
  /** What to do next. An error may carry a more exact one. */
  readonly hint: string
  /** Whether a repeat can help and cannot run a command twice. */
  readonly retryable: boolean
  /** Exit status of the command line. */
  readonly exitStatus: number
  /** HTTP status for doors that speak HTTP. */
  readonly httpStatus: number
  readonly family: ErrorFamily
}

const row = (
  summary: string,
  hint: string,
  httpStatus: number,
  more: Partial<Pick<ErrorEntry, 'retryable' | 'exitStatus' | 'family'>> = {},
): ErrorEntry => ({ summary, hint, httpStatus, retryable: false, exitStatus: 125, family: 'general', ...more })

/** All error codes, in the order of the documentation. */
export const ERRORS = {
  USAGE: row('The call itself is wrong.', 'See `remex --help`, or `--help` after the command.', 400),
  CONFIG_NOT_FOUND: row('There is no configuration file.', 'Name one with --config, or make one: remex init', 404),
  CONFIG_INVALID: row('The configuration file is wrong.', 'Mend the line that is named, then: remex config check', 422),
  HOST_UNKNOWN: row('No such host is in the configuration.', 'See which there are: remex hosts list', 404),
  HOST_NOT_ALLOWED: row('The host is disabled or not in allowed_vm_ids.', 'Enable it in the configuration.', 403),
  POLICY_DENIED: row('The policy does not allow this.', 'Ask whoever keeps the `policy:` section of the configuration.', 403),
  KEY_NOT_FOUND: row('There is no key to log in with.', 'Put a key where the message says, or set identity_file.', 404),
  KEY_UNUSABLE: row('A key is there but cannot be used.', 'Mend what the message names: mode, owner, format or passphrase.', 422),
  HOST_KEY_UNKNOWN: row('The host has a key that nobody has vouched for.', 'Compare the fingerprint with the host’s own, then: remex hosts trust <host>', 502, { family: 'host-key' }),
  HOST_KEY_CHANGED: row('The host shows another key than the known one.', 'Find out why before anything else. If the change is meant: remex hosts forget <host>, then remex hosts trust <host>', 502, { family: 'host-key' }),
  HOST_KEY_REVOKED: row('The host shows a key that is marked as revoked.', 'Do not connect. The host needs a new key.', 502, { family: 'host-key' }),
  UNREACHABLE: row('No connection to the host could be made.', 'Check address, port and network: remex hosts check <host>', 502, { retryable: true, family: 'connection' }),
  THROTTLED: row('The server turned the connection away because too many come at once.', 'Lower --parallel, or raise MaxStartups on the server.', 503, { retryable: true, family: 'connection' }),
  HANDSHAKE_FAILED: row('The server and Remex could not agree on a secure connection.', 'See docs/hardening.md for the algorithms that are allowed.', 502, { family: 'connection' }),
  AUTH_FAILED: row('The host refused the login.', 'Check ssh_user and that the public key is in authorized_keys on the host.', 401, { family: 'authentication' }),
  CONNECT_TIMEOUT: row('The host did not answer in time while connecting.', 'Check that an SSH server listens there; connect_timeout sets the limit.', 504, { retryable: true, family: 'connection' }),
  CONNECTION_LOST: row('The connection broke before the end was known.', 'The command may still be running on the host; look before you repeat it.', 502, { retryable: true, family: 'connection' }),
  CHANNEL_REFUSED: row('The server refused another session on an open connection.', 'Lower --parallel, or raise MaxSessions on the server.', 503, { retryable: true, family: 'connection' }),
  TIMED_OUT: row('The deadline passed.', 'Give more time with --timeout, or find out what takes so long.', 504, { exitStatus: 124, family: 'timeout' }),
  CANCELLED: row('It was cancelled.', 'Nothing to do; the report says what was ended on the host.', 499, { exitStatus: 130 }),
  RUN_NOT_FOUND: row('No such run is known.', 'See which there are: remex runs list', 404),
  LOCAL_NOT_FOUND: row('A local file or directory is not there.', 'Check the path; it is relative to where remex was started.', 404),
  REMOTE_NOT_FOUND: row('A file or directory on the host is not there.', 'Check the path on the host; directories are not made for you.', 404),
  PERMISSION_DENIED: row('Reading or writing there is not permitted.', 'Check owner and mode of the path that is named.', 403),
  NO_SPACE: row('There is no space left.', 'Free space on the file system that is named, then repeat.', 507),
  CHECKSUM_MISMATCH: row('The bytes that arrived are not the bytes that were sent.', 'Repeat; if it stays, suspect the disk, or a file that changes while it is read.', 502, { retryable: true }),
  CHECKSUM_UNAVAILABLE: row('No checksum could be computed on the host, so nothing is verified.', 'Install coreutils or openssl on the host.', 502),
  TRANSFER_FAILED: row('The transfer did not come to its end.', 'The old file is untouched; repeat the transfer.', 502),
  SUDO_FAILED: row('sudo did not let the command start.', 'Allow it without a password in sudoers (NOPASSWD) for this login.', 403),
  AUDIT_UNAVAILABLE: row('The audit log cannot be written, so nothing was run.', 'Mend audit_log_path: it must be writable, on a disk with space.', 503),
  INTERNAL: row('Remex made a mistake.', 'Please report it with the output of the same command and --verbose.', 500),
} as const satisfies Record<string, ErrorEntry>

/** A code of {@link ERRORS}. */
export type ErrorCode = keyof typeof ERRORS

/** What an error knows besides its code and message. */
export interface ErrorDetails {
  /** Replaces the table's hint. */
  readonly hint?: string
  /** The host's id (`vm01`). */
  readonly vmId?: string
  /** True when a command may have been started on the host. Default: false. */
  readonly mayHaveRun?: boolean
  /** What was known of the run when it failed: output so far, attempts, times. */
  readonly result?: unknown
  /** The error this one was made of. */
  readonly cause?: unknown
}

/**
 * Every failure of Remex. `message` says what happened, to which host; `hint` what to do next.
 * Made by {@link remexError}, which takes the subclass from the code's family.
 */
export class RemexError extends Error {
  readonly code: ErrorCode
  readonly hint: string
  /** Whether a command may have been started on the host. */
  readonly mayHaveRun: boolean
  /** The host's id, where the failure belongs to one host. */
  readonly vmId: string | undefined
  /** What was known of the run when it failed: a `RunResult`, where a run had begun. */
  readonly result: unknown

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.code = code
    this.hint = details.hint ?? ERRORS[code].hint
    this.mayHaveRun = details.mayHaveRun ?? false
    this.vmId = details.vmId
    this.result = details.result
  }

  /** Whether a repeat can help and cannot run a command twice. */
  get retryable(): boolean {
    return ERRORS[this.code].retryable && !this.mayHaveRun
  }

  /** The form that `--json` prints: `{code, message, hint, may_have_run}`. */
  toJSON(): { code: ErrorCode; message: string; hint: string; may_have_run: boolean } {
    return { code: this.code, message: this.message, hint: this.hint, may_have_run: this.mayHaveRun }
  }
}

/** No connection, or it broke. */
export class SSHConnectionError extends RemexError {}
/** The host could not prove that it is the host that is meant. */
export class HostKeyMismatchError extends RemexError {}
/** The host refused the login. */
export class AuthenticationError extends RemexError {}
/** The deadline passed; carries the output so far and what was ended on the host. */
export class CommandTimeoutError extends RemexError {}

const CLASSES: Record<ErrorFamily, typeof RemexError> = {
  general: RemexError,
  connection: SSHConnectionError,
  'host-key': HostKeyMismatchError,
  authentication: AuthenticationError,
  timeout: CommandTimeoutError,
}

/** Makes the error of `code`, of the class its family has. */
export function remexError(code: ErrorCode, message: string, details?: ErrorDetails): RemexError {
  return new CLASSES[ERRORS[code].family](code, message, details)
}

/** `error` itself where it is ours, else `INTERNAL` with it as the cause. For the outermost boundary only. */
export function asRemexError(error: unknown): RemexError {
  if (error instanceof RemexError) return error
  return remexError('INTERNAL', error instanceof Error ? error.message : String(error), { cause: error })
}

/** The same error with more details: a host's id, a result. Own details of `error` stay where `more` is silent. */
export function withDetails(error: RemexError, more: ErrorDetails): RemexError {
  const { hint, vmId, mayHaveRun, result, cause } = error
  const given = Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined))
  return remexError(error.code, error.message, { hint, vmId, mayHaveRun, result, cause, ...given })
}
