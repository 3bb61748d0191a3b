import type { ErrorCode } from '../core/errors.ts'

const LOCAL_LIMIT = 'This machine is at a limit of its own: raise it (ulimit -n), or lower --parallel.'

/** What an error of the system means. */
export interface SocketError {
  readonly code: ErrorCode
  readonly text: string
  readonly hint?: string
}

/** Errors of DNS and TCP that mean the same in every phase. Source: Node.js, os.constants.errno; getaddrinfo(3). */
export const SOCKET_ERRORS: Readonly<Record<string, SocketError>> = {
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
