import type { RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { endpoint, peerError, type Peer } from './peer.ts'

/** A login that the server refused. */
export interface LoginRefusal {
  readonly login: string
  /** What the server said of it, as it is shown. */
  readonly said?: string | undefined
  /** Names of what was tried. */
  readonly tried: readonly string[]
  /** What the server accepts; undefined where it has not said. */
  readonly accepted: readonly string[] | undefined
  /** What could not be tried, and why. */
  readonly notes: readonly string[]
  readonly hint?: string | undefined
  readonly cause?: unknown
}

/** Hints of what a server means by its refusal. */
export const REFUSAL_HINTS = {
  tooMany: 'Too many keys were offered: set identity_file, or raise MaxAuthTries on the server.',
  partial: 'The server wants another proof besides the one that it accepted, and Remex gives one.',
  password: 'The password was refused. Check ssh_user and the password; repeated failures may get this machine banned (fail2ban).',
  noPasswords: 'The server accepts no passwords for this login: put the key there in another way, or allow PasswordAuthentication for the time being.',
  noKeys: 'The server accepts no keys for this login: see PubkeyAuthentication in its sshd_config.',
} as const

/** `AUTH_FAILED`, with all that is known of why. */
export function loginRefused(peer: Peer, { login, said, tried, accepted, notes, hint, cause }: LoginRefusal): RemexError {
  const parts = [
    `the login as ${printable(login)}@${endpoint(peer.address, peer.port)} was refused${said === undefined ? '' : ` ("${said}")`}`,
    `tried: ${tried.join(', ') || 'nothing'}`,
    ...(accepted === undefined ? [] : [`the server accepts: ${listed(accepted)}`]),
    ...notes,
  ]
  return peerError('AUTH_FAILED', peer, parts.join('; '), { cause, ...(hint === undefined ? {} : { hint }) })
}

/** At most ten, cut: the server may send as many as fit in a packet. */
function listed(methods: readonly string[]): string {
  return methods.slice(0, 10).map((method) => printable(method.slice(0, 64))).join(', ') || 'nothing'
}
