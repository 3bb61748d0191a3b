import type { RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { ALGORITHMS, type AlgorithmCategory } from '../algorithms.ts'
import { DOING, peerError, type Peer, type Phase } from '../peer.ts'
import { closedBeforeBanner, dialFailure, NOT_SSH_HINT, notSsh, socketFailure } from '../socket-errors.ts'
import type { Transcript } from './transcript.ts'

/**
 * The one place where errors of ssh2 and Node become ours. ssh2 tells its errors apart by `level` and by text,
 * so text is matched here and nowhere else; `test/transport/classify.test.ts` holds it to ssh2 1.17.
 */

/** Where a connection attempt stood when it failed. */
export interface Standing {
  readonly peer: Peer
  readonly phase: Phase
  readonly transcript: Transcript
}

/** The error of an attempt that failed with `error`, or ended without any (undefined). Login refusals are not its business. */
export function connectError(standing: Standing, error: unknown): RemexError {
  const { code, message } = facts(error)
  if (typeof code === 'string') return socketError(standing, code, error)
  if (error === undefined || message === 'Connection lost before handshake') return closedError(standing, error)
  if (standing.phase === 'dial') return closedError(standing, error)
  if (typeof code === 'number') return disconnectError(standing, { reason: code, text: message }, error)
  if (standing.phase === 'identification') return notSshError(standing, error)
  return handshakeError(standing, message, error)
}

/** Whether a server's DISCONNECT says that too many keys were offered. */
export function isTooManyAttempts(error: unknown): boolean {
  const { code, message } = facts(error)
  return typeof code === 'number' && (code === 14 || /too many auth|max(imum)? auth/i.test(message))
}

/** What a server's DISCONNECT said, for a message; undefined where `error` is not one. */
export function disconnectText(error: unknown): string | undefined {
  const { code, message } = facts(error)
  return typeof code === 'number' ? shown(message) : undefined
}

/** Why an open connection is gone. `error` undefined: the other side closed it. */
export function lostError(peer: Peer, error: unknown, mayHaveRun = false): RemexError {
  const { message } = facts(error)
  const how = error === undefined ? 'the server closed the connection' : `the connection broke: ${shown(message)}`
  return peerError('CONNECTION_LOST', peer, how, { cause: error, mayHaveRun })
}

/** How the server took the request for a channel. */
export type OpenFailure =
  /** It opened none; nothing was sent on it. */
  | { readonly kind: 'refused'; readonly reason: number; readonly text: string }
  /** It opened one and refused what is to run on it, or closed it without an answer. */
  | { readonly kind: 'unanswered' }
  /** The connection was gone before anything was sent on a channel. */
  | { readonly kind: 'unsent' }

/** Reads the error that ssh2 gives for a channel. Source: ssh2 1.17, client.js and utils.js. */
export function openFailure(error: unknown): OpenFailure {
  const { message } = facts(error)
  if (/^Unable to (exec|start subsystem)/.test(message)) return { kind: 'unanswered' }
  const refusal = /^\(SSH\) Channel open failure: ([\s\S]*)$/.exec(message)
  const text = refusal?.[1] ?? (/^Unable to request a pseudo-terminal|^No free channels/.test(message) ? message : undefined)
  if (text === undefined) return { kind: 'unsent' }
  const reason: unknown = error instanceof Error && 'reason' in error ? error.reason : undefined
  return { kind: 'refused', reason: typeof reason === 'number' ? reason : 0, text: shown(text) }
}

function socketError(standing: Standing, code: string, cause: unknown): RemexError {
  if (standing.phase === 'dial') return dialFailure(standing.peer, cause)
  const known = socketFailure(standing.peer, code, cause)
  if (known !== undefined) return known
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_STREAM_PREMATURE_CLOSE') return closedError(standing, cause)
  return handshakeError(standing, facts(cause).message, cause)
}

/** The server, or something on the way to it, ended the connection. */
function closedError({ peer, phase, transcript }: Standing, cause: unknown): RemexError {
  if (phase === 'dial') return dialFailure(peer, cause)
  // A name that breaks off is that of an SSH server.
  if (phase !== 'identification' || /^SSH-[^\r\n]*$/.test(transcript.greeting)) return peerError('UNREACHABLE', peer, `the connection broke while ${DOING[phase]}`, { cause })
  return closedBeforeBanner(peer, transcript.greeting, cause)
}

function notSshError({ peer, transcript }: Standing, cause: unknown): RemexError {
  if (transcript.identification === undefined) return notSsh(peer, transcript.greeting, cause)
  return peerError('HANDSHAKE_FAILED', peer, 'the server speaks no SSH 2.0', { cause, hint: NOT_SSH_HINT })
}

const TOO_MANY_CONNECTIONS = 12

/** The server sent SSH_MSG_DISCONNECT. Source: RFC 4253 section 11.1. */
function disconnectError({ peer, phase }: Standing, said: { reason: number; text: string }, cause: unknown): RemexError {
  const message = `the server ended the connection while ${DOING[phase]}: ${shown(said.text)}`
  return peerError(said.reason === TOO_MANY_CONNECTIONS ? 'THROTTLED' : 'HANDSHAKE_FAILED', peer, message, { cause })
}

/** ssh2's texts for a negotiation without result. Compression is offered as `none` alone. Source: ssh2 1.17, kex.js. */
const NO_MATCH: readonly { readonly text: RegExp; readonly category: Exclude<AlgorithmCategory, 'signature'>; readonly name: string }[] = [
  { text: /no matching key exchange/i, category: 'kex', name: 'key exchange' },
  { text: /no matching host key/i, category: 'hostKey', name: 'host key' },
  { text: /no matching .*cipher/i, category: 'cipher', name: 'cipher' },
  { text: /no matching .*MAC/i, category: 'mac', name: 'MAC' },
]

function handshakeError({ peer, phase, transcript }: Standing, message: string, cause: unknown): RemexError {
  const miss = NO_MATCH.find(({ text }) => text.test(message))
  if (miss !== undefined) {
    const offered = transcript.offer?.[miss.category].slice(0, 30).map(shown).join(', ') ?? 'unknown'
    const text = `no common ${miss.name} algorithm; the server offers: ${offered}`
    const hint = `Enable one of these on the server: ${ALGORITHMS[miss.category].join(', ')}`
    return peerError('HANDSHAKE_FAILED', peer, text, { cause, hint })
  }
  if (/signature verification failed/.test(message)) {
    const hint = 'Something that is not the server may be in between. Do not connect until you know.'
    return peerError('HANDSHAKE_FAILED', peer, 'the server did not prove that it holds its host key', { cause, hint })
  }
  return peerError('HANDSHAKE_FAILED', peer, `failed while ${DOING[phase]}: ${shown(message)}`, { cause })
}

function facts(error: unknown): { code: unknown; message: string } {
  if (!(error instanceof Error)) return { code: undefined, message: String(error) }
  return { code: 'code' in error ? error.code : undefined, message: error.message }
}

function shown(text: string): string {
  return printable(text.trim().slice(0, 200))
}
