import type { AuditRecord } from '../record.ts'

/**
 * How much a record matters to who watches. `alarm`: the log was found damaged, or a host is not the one that is known.
 * `refusal`: somebody asked for what is not allowed. `failure`: an operation failed.
 */
export type Weight = 'routine' | 'failure' | 'refusal' | 'alarm'

const ALARMS: ReadonlySet<string> = new Set(['HOST_KEY_CHANGED', 'HOST_KEY_REVOKED'])

/** The weight of a record. */
export function weightOf({ event, status, error_code: errorCode }: AuditRecord): Weight {
  if (event === 'repaired' || ALARMS.has(errorCode ?? '')) return 'alarm'
  if (event === 'denied') return 'refusal'
  return status === 'error' ? 'failure' : 'routine'
}
