import { errorCode } from '../../core/atomic-file.ts'
import type { RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { ALGORITHMS, POST_QUANTUM_KEX, type AlgorithmCategory } from '../algorithms.ts'
import { loginRefused, REFUSAL_HINTS } from '../login-refusal.ts'
import { DOING, peerError, type Peer } from '../peer.ts'
import { closedBeforeBanner, notSsh, socketFailure } from '../socket-errors.ts'
import type { Transcript } from './transcript.ts'

/**
 * The one place where what `ssh` says becomes an error of ours. Its texts at the level of errors are matched here and nowhere
 * else; they are the same from OpenSSH 7.4 to 10.5, and `test/transport/openssh-connect-failures.test.ts` holds the one that is
 * installed to them.
 */

/** A start of `ssh` that came to nothing. */
export interface FailedStart {
  readonly peer: Peer
  readonly login: string
  readonly transcript: Transcript
  readonly requirePostQuantum: boolean
  /** What the settings of ssh led through said last; undefined where there is nothing of the kind. */
  readonly proxySaid?: string | undefined
  /** Whether a password was there to be asked for. */
  readonly hasPassword: boolean
  readonly hasCertificate?: boolean
  /** Names of what was there to log in with. */
  readonly tried: readonly string[]
  readonly notes: readonly string[]
}

/** Whether ssh gave up because of the host's key. */
export function isUntrusted({ messages }: Transcript): boolean {
  return messages.some((line) => /^Host key verification failed\.$/.test(line))
}

/** What the server accepts, as its last refusal says; undefined where it has refused no login. */
export function acceptedMethods({ messages }: Transcript): readonly string[] | undefined {
  return messages.map((line) => /(?:^|: )Permission denied \(([^()]*)\)\.$/.exec(line)?.[1]?.split(',').filter((name) => name !== '')).findLast((found) => found !== undefined)
}

/** Why ssh did not come to a connection, as far as it is not the host's key. */
export function startFailure(failed: FailedStart): RemexError {
  const { transcript } = failed
  for (const [text, make] of CAUSES) {
    for (const line of transcript.messages) {
      const found = text.exec(line)
      if (found) return make(failed, found)
    }
  }
  return closed(failed)
}

type Cause = (failed: FailedStart, found: RegExpExecArray) => RemexError

/** The first that is found decides. */
const CAUSES: readonly (readonly [text: RegExp, make: Cause])[] = [
  [/^ssh: connect to host .* port \d+: (.*)$/, ({ peer }, [, reason = '']) => dialError(peer, reason)],
  [/^ssh: Could not resolve hostname .*: (.*)$/, ({ peer }, [, reason = '']) => nameError(peer, reason)],
  [/^Unable to negotiate with .*: no matching (.*) found\. Their offer: (.*)$/, noMatch],
  [/^Unable to negotiate with .*: (.*)$/, ({ peer }, [, what = '']) => peerError('HANDSHAKE_FAILED', peer, `no common algorithm: ${shown(what)}`)],
  [/^Host key .* revoked by file |REVOKED HOST KEY DETECTED/, ({ peer }) => peerError('HOST_KEY_REVOKED', peer, 'it shows a key that is marked as revoked', { hint: 'See @revoked in the known_hosts files, and RevokedHostKeys in the settings of ssh.' })],
  [/^Error checking host key .* in revoked keys file (.*): (.*)$/, ({ peer }, [, file = '', why = '']) => peerError('CONFIG_INVALID', peer, `the revoked host keys in ${shown(file)} cannot be read, so no key is trusted: ${shown(why)}`, { hint: 'See RevokedHostKeys in the settings of ssh.' })],
  [/^Received disconnect from .*?: ?(\d+): (.*)$/, disconnected],
  [/(?:^|: )Permission denied \(/, refused],
  [/incorrect signature/, ({ peer }) => peerError('HANDSHAKE_FAILED', peer, 'the server did not prove that it holds its host key', { hint: 'Something that is not the server may be in between. Do not connect until you know.' })],
  [/^Bad server host key: (.*)$|host key .* not permitted/, ({ peer }, [line, why]) => peerError('HANDSHAKE_FAILED', peer, `its host key is not allowed: ${shown(why ?? line)}`)],
  [/timed out during banner exchange|^Connection timed out/, ({ peer }) => peerError('CONNECT_TIMEOUT', peer, 'the host did not answer')],
  [/^(?:.* line \d+: |command-line: line \d+: )?(?:Bad configuration option|Unsupported option|Bad .* specification|.*: terminating, \d+ bad configuration).*$/, configured],
]

/** ssh dials by itself where its settings lead through others. */
function dialError(peer: Peer, reason: string): RemexError {
  return socketFailure(peer, ERRNO[reason] ?? '') ?? peerError('UNREACHABLE', peer, `no connection (${shown(reason)})`)
}

/** Source: strerror(3) of glibc, musl, the BSDs and macOS. */
const ERRNO: Readonly<Record<string, string>> = {
  'Connection refused': 'ECONNREFUSED',
  'No route to host': 'EHOSTUNREACH',
  'Host is unreachable': 'EHOSTUNREACH',
  'Host is down': 'EHOSTDOWN',
  'Network is unreachable': 'ENETUNREACH',
  'Network unreachable': 'ENETUNREACH',
  'Network is down': 'ENETDOWN',
  'Connection timed out': 'ETIMEDOUT',
  'Operation timed out': 'ETIMEDOUT',
  'Permission denied': 'EACCES',
  'Operation not permitted': 'EPERM',
  'Cannot assign requested address': 'EADDRNOTAVAIL',
  "Can't assign requested address": 'EADDRNOTAVAIL',
  'Too many open files': 'EMFILE',
}

function nameError(peer: Peer, reason: string): RemexError {
  const isPassing = /temporary|try again/i.test(reason)
  return socketFailure(peer, isPassing ? 'EAI_AGAIN' : 'ENOTFOUND') ?? dialError(peer, reason)
}

/** ssh's names of what has to be common. Source: OpenSSH ssherr.c. */
const CATEGORIES: readonly (readonly [text: RegExp, category: Exclude<AlgorithmCategory, 'signature'>, name: string])[] = [
  [/key exchange/, 'kex', 'key exchange'],
  [/host key/, 'hostKey', 'host key'],
  [/cipher/, 'cipher', 'cipher'],
  [/MAC/i, 'mac', 'MAC'],
]

/** What a server lists among its key exchange methods, and is none. Source: OpenSSH PROTOCOL, section 1.10; RFC 8308. */
const MARKER = /^(?:kex-strict-|ext-info-)/

function noMatch({ peer, requirePostQuantum }: FailedStart, [, what = '', offer = '']: RegExpExecArray): RemexError {
  const [, category, name] = CATEGORIES.find(([text]) => text.test(what)) ?? [undefined, undefined, shown(what)]
  const offered = offer.split(',').filter((listed) => !MARKER.test(listed)).slice(0, 30).map(shown).join(', ')
  if (requirePostQuantum && category === 'kex') {
    const hint = `Nothing was sent. Update the SSH server (OpenSSH 9.0 or later has one), enable one of these on it: ${POST_QUANTUM_KEX.join(', ')}; or set require_post_quantum: false.`
    return peerError('HANDSHAKE_FAILED', peer, `require_post_quantum is set, and the server has no key exchange that withstands quantum computers; it offers: ${offered}`, { hint })
  }
  const hint = category === undefined ? {} : { hint: `Enable one of these on the server: ${ALGORITHMS[category].join(', ')}` }
  return peerError('HANDSHAKE_FAILED', peer, `no common ${name} algorithm; the server offers: ${offered}`, hint)
}

const TOO_MANY_CONNECTIONS = '12'

/** Source: RFC 4253 section 11.1. */
function disconnected(failed: FailedStart, [, reason, text = '']: RegExpExecArray): RemexError {
  const { peer, transcript: { phase } } = failed
  if (phase === 'login' && (reason === '14' || /too many auth/i.test(text))) return refusal(failed, { said: shown(text) || undefined, hint: REFUSAL_HINTS.tooMany })
  const code = reason === TOO_MANY_CONNECTIONS ? 'THROTTLED' : 'HANDSHAKE_FAILED'
  return peerError(code, peer, `the server ended the connection while ${DOING[phase]}: ${shown(text)}`)
}

function refused(failed: FailedStart): RemexError {
  return refusal(failed, { hint: refusalHint(failed) })
}

const CERTIFICATE_HINT = 'ssh-keygen -Lf <certificate> shows for how long it is valid and for which logins (principals); the server must trust its authority (TrustedUserCAKeys) and not have it revoked (RevokedKeys).'

function refusalHint({ transcript, hasPassword, hasCertificate }: FailedStart): string | undefined {
  const accepted = acceptedMethods(transcript)
  if (transcript.lines.some((line) => /^(?:debug1: )?Authenticated .*with partial success/.test(line))) return REFUSAL_HINTS.partial
  if (hasPassword) return accepted?.some((name) => name === 'password' || name === 'keyboard-interactive') === true ? REFUSAL_HINTS.password : REFUSAL_HINTS.noPasswords
  if (accepted?.includes('publickey') === false) return REFUSAL_HINTS.noKeys
  return hasCertificate === true ? CERTIFICATE_HINT : undefined
}

function refusal({ peer, login, transcript, tried, notes }: FailedStart, more: { readonly said?: string | undefined; readonly hint: string | undefined }): RemexError {
  return loginRefused(peer, { login, tried, notes, accepted: acceptedMethods(transcript), ...more })
}

function configured({ peer }: FailedStart, [line]: RegExpExecArray): RemexError {
  return peerError('CONFIG_INVALID', peer, `ssh does not understand its settings: ${shown(line)}`, { hint: 'Mend the file that is named; ssh -G <host> shows what ssh makes of it.' })
}

/** The connection ended without ssh saying more than that. */
function closed({ peer, transcript, proxySaid }: FailedStart): RemexError {
  const { phase, greeting, messages } = transcript
  if (proxySaid !== undefined && (phase === 'dial' || phase === 'identification')) {
    return peerError('UNREACHABLE', peer, `what ssh_config leads through ended before the host named itself${proxySaid === '' ? '' : `; it says: ${shown(proxySaid)}`}`, { hint: 'See ProxyJump and ProxyCommand in the settings of ssh, and try: ssh -v <host>' })
  }
  const last = shown(messages.at(-1) ?? '')
  // The last of them is all that OpenSSH 7.4 says of it within the login.
  const isCut = /Connection (?:closed|reset)|closed by remote host|Broken pipe|Connection to .* (?:port .*: )?(?:timed out|aborted)|^Authentication failed\.$/i.test(last)
  if (phase === 'login' || phase === 'handshake') {
    if (isCut || last === '') return peerError('UNREACHABLE', peer, `the connection broke while ${DOING[phase]}`)
    return peerError('HANDSHAKE_FAILED', peer, `failed while ${DOING[phase]}: ${last}`)
  }
  if (phase === 'dial') return peerError('UNREACHABLE', peer, last === '' ? 'no connection could be made' : `no connection could be made; ssh says: ${last}`)
  if (greeting !== '' || isCut || last === '') return closedBeforeBanner(peer, greeting)
  const [, named = ''] = messages.map((line) => NO_SSH.exec(line)).findLast((found) => found !== null) ?? []
  return notSsh(peer, named)
}

/** With what the server calls itself, to its end or to the end of the line. */
const NO_SSH = /^Bad remote protocol version identification: '(.*?)'?$/

/** ssh logged in, and its master cannot be reached or is none that we understand: `error` says why. */
export function masterFailure(peer: Peer, error: unknown): RemexError {
  if (errorCode(error) !== undefined) return peerError('UNREACHABLE', peer, `the connection broke while ${DOING.login}`, { cause: error })
  const why = error instanceof Error ? error.message : String(error)
  return peerError('HANDSHAKE_FAILED', peer, `ssh logged in and cannot be used: ${shown(why)}`, { cause: error, hint: 'Please report it, with what ssh -V says.' })
}

/** Why an open connection is gone: what ssh said at its end, or `violation`, for which we ended it. */
export function lossOf(peer: Peer, { messages }: Transcript, violation: string | undefined): RemexError {
  return peerError('CONNECTION_LOST', peer, violation ?? lossText(messages), {})
}

function lossText(messages: readonly string[]): string {
  if (messages.some((line) => /^Timeout, server .* not responding\.$/.test(line))) return 'the connection broke: the server missed 3 keepalives'
  const why = messages.findLast((line) => /Connection (?:to|closed|reset)|closed by remote host|Broken pipe|disconnect|message authentication|packet/i.test(line))
  if (why === undefined) return 'the connection broke: the ssh that held it ended'
  return /closed by remote host|^Connection closed/.test(why) ? 'the server closed the connection' : `the connection broke: ${shown(why)}`
}

function shown(text: string): string {
  return printable(text.trim().slice(0, 200))
}
