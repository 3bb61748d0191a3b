import type { ErrorCode, RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { peerError, type Peer } from './peer.ts'

const LOCAL_LIMIT = 'This machine is at a limit of its own: raise it (ulimit -n), or lower --parallel.'

interface SocketError {
  readonly code: ErrorCode
  readonly text: string
  readonly hint?: string
}

/** Errors of DNS and TCP that mean the same in every phase. Source: Node.js, os.constants.errno; getaddrinfo(3). */
const SOCKET_ERRORS: Readonly<Record<string, SocketError>> = {
  ECONNREFUSED: { code: 'UNREACHABLE', text: 'connection refused; nothing listens on this port, or a firewall rejects it' },
  EHOSTUNREACH: { code: 'UNREACHABLE', text: 'there is no route to the host' },
  EHOSTDOWN: { code: 'UNREACHABLE', text: 'the host is down' },
  ENETUNREACH: { code: 'UNREACHABLE', text: 'there is no route to its network' },
  ENETDOWN: { code: 'UNREACHABLE', text: 'the network of this machine is down' },
  EADDRNOTAVAIL: { code: 'UNREACHABLE', text: 'this machine has no address or no port left to connect from' },
  EACCES: { code: 'UNREACHABLE', text: 'this machine does not let us connect there (a local firewall?)' },
  EPERM: { code: 'UNREACHABLE', text: 'this machine does not let us connect there (a local firewall?)' },
  ENOTFOUND: { code: 'UNREACHABLE', text: 'there is no such name', hint: 'Check `ip` in the configuration, and DNS.' },
  EAI_AGAIN: { code: 'UNREACHABLE', text: 'DNS does not answer', hint: 'Check the DNS of this machine.' },
  EAI_FAIL: { code: 'UNREACHABLE', text: 'DNS failed', hint: 'Check the DNS of this machine.' },
  EMFILE: { code: 'UNREACHABLE', text: 'too many open files on this machine', hint: LOCAL_LIMIT },
  ENFILE: { code: 'UNREACHABLE', text: 'too many open files on this machine', hint: LOCAL_LIMIT },
  ENOBUFS: { code: 'UNREACHABLE', text: 'no buffer space on this machine', hint: LOCAL_LIMIT },
  ETIMEDOUT: { code: 'CONNECT_TIMEOUT', text: 'the host did not answer' },
}

/** The error of a code that means the same in every phase; undefined for any other. */
export function socketFailure(peer: Peer, code: string, cause?: unknown): RemexError | undefined {
  const known = SOCKET_ERRORS[code]
  return known && peerError(known.code, peer, known.text, { cause, ...(known.hint !== undefined && { hint: known.hint }) })
}

/** TCP did not come about: `error` is Node's. */
export function dialFailure(peer: Peer, error: unknown): RemexError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const known = socketFailure(peer, code, error)
  if (known) return known
  // A port that is closed refuses; who resets has accepted before, however early we hear of it.
  if (code === 'ECONNRESET') return closedBeforeBanner(peer, '', error)
  const what = code === '' ? 'no connection could be made' : `no connection (${printable(code)})`
  return peerError('UNREACHABLE', peer, what, { cause: error })
}

/** The server, or something on the way to it, ended the connection before it named itself; `greeting` is what it said. */
export function closedBeforeBanner(peer: Peer, greeting: string, cause?: unknown): RemexError {
  // sshd says these lines, or nothing, to whom it has no room for (MaxStartups, PerSourcePenalties, PerSourceMaxStartups).
  const isSshd = greeting === '' || /^(Exceeded MaxStartups|Not allowed at this time)/.test(greeting)
  if (!isSshd) return notSsh(peer, greeting, cause)
  const said = greeting === '' ? '' : `, saying "${printable(greeting.trim().slice(0, 200))}"`
  return peerError('THROTTLED', peer, `the server closed the connection before its SSH banner${said}`, { cause })
}

/** Something else answers there. */
export function notSsh(peer: Peer, greeting: string, cause?: unknown): RemexError {
  const said = greeting === '' ? '' : `; it says: ${printable((greeting.split(/[\r\n]/, 1)[0] ?? '').trim().slice(0, 200))}`
  return peerError('HANDSHAKE_FAILED', peer, `what answers there is not an SSH server${said}`, { cause, hint: NOT_SSH_HINT })
}

/** What to do about a server of another kind. */
export const NOT_SSH_HINT = 'Check `ip` and `ssh_port` in the configuration.'
