import { remexError, type ErrorCode, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { Route } from './contract.ts'

/** Whom we talk to, for messages. */
export type Peer = Pick<Route, 'vmId' | 'address' | 'port'>

/** How far a connection attempt has come. */
export type Phase = 'dial' | 'identification' | 'handshake' | 'login'

/** What is done in a phase, for messages: `while connecting`. */
export const DOING: Readonly<Record<Phase, string>> = {
  dial: 'connecting',
  identification: 'waiting for the server to name itself as an SSH server',
  handshake: 'exchanging keys',
  login: 'logging in',
}

/** Where an attempt stands. */
export interface Stage {
  readonly peer: Peer
  readonly phase: Phase
}

/** `vm01 (10.0.0.10:22)`, an IPv6 address in brackets. */
export function placeOf({ vmId, address, port }: Peer): string {
  return `${printable(vmId)} (${endpoint(address, port)})`
}

/** `10.0.0.10:22`, `[::1]:22`. */
export function endpoint(address: string, port: number): string {
  return `${address.includes(':') ? `[${printable(address)}]` : printable(address)}:${port}`
}

/** The error of an attempt whose time is over; names the phase it stood in. */
export function timeoutError({ peer, phase }: Stage, timeoutMs: number): RemexError {
  return peerError('CONNECT_TIMEOUT', peer, `no answer within ${timeoutMs / 1000} s while ${DOING[phase]}`)
}

/** The error of an attempt that was aborted; `reason` is the signal's. */
export function cancelledError({ peer, phase }: Stage, reason: unknown): RemexError {
  return peerError('CANCELLED', peer, `cancelled while ${DOING[phase]}`, { cause: reason })
}

/** The error of a connection from which an attacker could drop messages unseen. */
export function openToTruncation(peer: Peer): RemexError {
  const message = 'chacha20-poly1305 without strict key exchange lets an attacker drop messages (CVE-2023-48795)'
  return peerError('HANDSHAKE_FAILED', peer, message, { hint: 'Update the SSH server, or enable an AES-GCM or AES-CTR cipher on it.' })
}

/** An error about this peer: `vm01 (10.0.0.10:22): <what happened>`. */
export function peerError(
  code: ErrorCode,
  peer: Peer,
  message: string,
  details: { readonly hint?: string; readonly cause?: unknown; readonly mayHaveRun?: boolean } = {},
): RemexError {
  return remexError(code, `${placeOf(peer)}: ${message}`, { vmId: peer.vmId, ...details })
}
