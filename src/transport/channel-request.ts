import { remexError, type RemexError } from '../core/errors.ts'
import { peerError, type Peer } from './peer.ts'

/** The largest command that fits in a packet which sshd takes (256 KiB); a larger one makes it end the connection. */
const MAX_COMMAND_BYTES = 255 * 1024

/** What a channel is asked for. */
export interface ChannelRequest {
  readonly what: 'command' | 'subsystem' | 'forward'
  /** For messages: `the command`. */
  readonly text: string
}

/** A server's reason to open no channel. Source: RFC 4254 section 5.1. */
export interface OpenRefusal {
  readonly reason: number
  /** As it is shown. */
  readonly text: string
  readonly cause?: unknown
}

const CONNECT_FAILED = 2

/** Throws `USAGE` for a command that no server takes. */
export function refuseTooLong({ vmId }: Peer, command: string): void {
  const sizeBytes = Buffer.byteLength(command)
  if (sizeBytes <= MAX_COMMAND_BYTES) return
  const message = `a command of ${sizeBytes} bytes; at most ${MAX_COMMAND_BYTES} can be sent as one`
  throw remexError('USAGE', message, { vmId, hint: 'Send it as a script, or the data on standard input.' })
}

/** The server opened no channel; nothing was sent on it. */
export function notOpened(peer: Peer, { what, text: asked }: ChannelRequest, { reason, text, cause }: OpenRefusal): RemexError {
  const isUnreachable = what === 'forward' && reason === CONNECT_FAILED
  return peerError(isUnreachable ? 'UNREACHABLE' : 'CHANNEL_REFUSED', peer, `the server opened no channel for ${asked} (${text || 'without a reason'})`, { cause })
}

/** The server opened a channel and refused what was to run on it. */
export function notStarted(peer: Peer, { text }: ChannelRequest, cause?: unknown): RemexError {
  return peerError('CHANNEL_REFUSED', peer, `the server refused ${text}`, { cause })
}

/** The server closed the channel in place of an answer: nobody knows what became of the request. */
export function notAnswered(peer: Peer, { what, text }: ChannelRequest, cause?: unknown): RemexError {
  return peerError('CONNECTION_LOST', peer, `the server closed the channel without an answer to ${text}`, { cause, mayHaveRun: what === 'command' })
}

/** A connection that we closed ourselves. */
export function closedByUs(peer: Peer, mayHaveRun: boolean): RemexError {
  return peerError('CONNECTION_LOST', peer, 'the connection was closed by us', { mayHaveRun })
}
