import type { RemexError } from './errors.ts'
import type { Ended } from './outcome.ts'

/** What became of one host of many, so that each is counted once. */
export type HostState =
  | 'succeeded' | 'failed' | 'signaled' | 'timed_out' | 'cancelled' | 'lost'
  /** Not started, by why. */
  | 'unreachable' | 'throttled' | 'host_key_refused' | 'login_refused' | 'denied' | 'not_started'
  /** Its turn never came: too many others had failed before, or everything was cancelled. */
  | 'not_tried'
  /** It succeeded, and the audit log could not be told. */
  | 'not_recorded'

const NOT_STARTED: Readonly<Partial<Record<string, HostState>>> = {
  UNREACHABLE: 'unreachable',
  CONNECT_TIMEOUT: 'unreachable',
  THROTTLED: 'throttled',
  HOST_KEY_UNKNOWN: 'host_key_refused',
  HOST_KEY_CHANGED: 'host_key_refused',
  HOST_KEY_REVOKED: 'host_key_refused',
  AUTH_FAILED: 'login_refused',
  POLICY_DENIED: 'denied',
  HOST_NOT_ALLOWED: 'denied',
}

/** The state of a host by how its run ended, or the check after it. */
export function hostState(run: { readonly ended: Ended; readonly exitCode: number | null; readonly error: RemexError | null; readonly untried: boolean; readonly check: boolean }): HostState {
  const { ended, exitCode, error, untried, check } = run
  if (untried) return 'not_tried'
  // The command itself did run, so none of the ways not to start can be meant.
  if (check && !(ended === 'exited' && exitCode === 0 && !error)) return error?.code === 'CANCELLED' ? 'cancelled' : 'failed'
  if (ended === 'not_started') return NOT_STARTED[error?.code ?? ''] ?? 'not_started'
  if (ended !== 'exited') return ended
  if (exitCode !== 0) return 'failed'
  return error ? 'not_recorded' : 'succeeded'
}
