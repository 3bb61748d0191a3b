import type { RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'

/** What a check came to. `warning`: it works, and something should be done. `skipped`: it could not be looked at, and the message says why. */
export type FindingStatus = 'ok' | 'warning' | 'failed' | 'skipped'

/** What is looked at on this machine, in this order. */
export const LOCAL_CHECKS = ['node', 'configuration', 'ssh', 'key_store', 'keys', 'certificates', 'known_hosts', 'audit', 'audit_chain'] as const

/** What is looked at from afar, without logging in. */
export const NETWORK_CHECKS = ['dns', 'tcp', 'banner'] as const

/** What is looked at over one connection. */
export const INSPECTION_CHECKS = ['algorithms', 'post_quantum', 'host_key', 'authentication', 'shell', 'checksum_tool', 'disk', 'clock', 'sudo', 'sshd_limits'] as const

/**
 * The name of a check. Only where something went wrong there are also: `hosts` (there are none to look at), `policy` (it lets us look
 * at no host) and `connection` (it broke, or never came about, for a reason that none of the others is).
 */
export type CheckName = (typeof LOCAL_CHECKS)[number] | (typeof NETWORK_CHECKS)[number] | (typeof INSPECTION_CHECKS)[number] | 'hosts' | 'policy' | 'connection'

/** What one check came to, of whatever it was about. */
export interface Judgement {
  readonly check: CheckName
  readonly status: FindingStatus
  /** What was found: numbers, paths, names. Lines are separated by `\n`; it has no other control character. */
  readonly message: string
  /** What to type or to do next; null where nothing is to be done. */
  readonly hint: string | null
}

/** What one check of one host came to, or of this machine. */
export interface Finding extends Judgement {
  /** The host's id; undefined for what is about this machine. */
  readonly vmId: string | undefined
}

/** Nothing is wrong. */
export function ok(check: CheckName, message: string): Judgement {
  return judgement(check, 'ok', { message })
}

/** It works, and something should be done. */
export function warning(check: CheckName, message: string, hint: string): Judgement {
  return judgement(check, 'warning', { message, hint })
}

/** It does not work. */
export function failed(check: CheckName, message: string, hint: string): Judgement {
  return judgement(check, 'failed', { message, hint })
}

/** It was not looked at, for this reason. */
export function skipped(check: CheckName, message: string, hint?: string): Judgement {
  return judgement(check, 'skipped', { message, hint })
}

/** It failed with this error. */
export function failedBy(check: CheckName, { message, hint }: RemexError): Judgement {
  return failed(check, message, hint)
}

/** The same, and whom it is about. */
export function about(vmId: string | undefined, judgements: readonly Judgement[]): Finding[] {
  return judgements.map((one) => ({ vmId, ...one }))
}

function judgement(check: CheckName, status: FindingStatus, { message, hint }: { readonly message: string; readonly hint?: string | undefined }): Judgement {
  return { check, status, message: inLines(message), hint: hint === undefined || hint === '' ? null : inLines(hint) }
}

/** Much of it comes from hosts and files, and all of it is shown on terminals. */
function inLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}
