import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts'
import { acceptedMethods, isUntrusted, lossOf, masterFailure, startFailure, type FailedStart } from '../../src/transport/openssh/failure.ts'
import { Transcript } from '../../src/transport/openssh/transcript.ts'

const peer = { vmId: 'vm01', address: '10.0.0.10', port: 22 }

/** What ssh -v prints on the way to each phase, in the words of OpenSSH 7.4 to 10.5. */
const DIALLED = ['OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19 27 Jan 2026', 'debug1: Reading configuration data /dev/null']
const CONNECTED = [...DIALLED, 'debug1: Connection established.', 'debug1: Local version string SSH-2.0-OpenSSH_9.2p1 Debian-2']
const NAMED = [...CONNECTED, 'debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1']
const KEYED = [...NAMED, 'debug1: Server host key: ssh-ed25519 SHA256:abc', 'debug1: SSH2_MSG_NEWKEYS received']

function transcriptOf(lines: readonly string[]): Transcript {
  const transcript = new Transcript()
  for (const line of lines) transcript.add(`${line}\r\n`)
  return transcript
}

function failed(lines: readonly string[], more: Partial<FailedStart> = {}): FailedStart {
  return { peer, login: 'admin', transcript: transcriptOf(lines), requirePostQuantum: false, hasPassword: false, tried: ['id_ed25519 (ssh-ed25519)'], notes: [], ...more }
}

type Case = readonly [sentence: string, before: readonly string[], said: readonly string[], code: ErrorCode, message: RegExp]

const REACHING: readonly Case[] = [
  ['a refused connection', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: Connection refused'], 'UNREACHABLE', /connection refused; nothing listens/],
  ['a refused connection to an IPv6 address', DIALLED, ['ssh: connect to host fe80::1%eth0 port 22: Connection refused'], 'UNREACHABLE', /connection refused/],
  ['a host without a route', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: No route to host'], 'UNREACHABLE', /no route to the host/],
  ['a host without a route, in the words of musl', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: Host is unreachable'], 'UNREACHABLE', /no route to the host/],
  ['a network without a route', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: Network is unreachable'], 'UNREACHABLE', /no route to its network/],
  ['a local firewall', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: Operation not permitted'], 'UNREACHABLE', /local firewall/],
  ['TCP that gives up', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: Connection timed out'], 'CONNECT_TIMEOUT', /did not answer/],
  ['TCP that gives up, in the words of macOS', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: Operation timed out'], 'CONNECT_TIMEOUT', /did not answer/],
  ['an error of TCP that nobody thought of', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: Protocol is \u001b[1mstrange'], 'UNREACHABLE', /no connection \(Protocol is \\x1b\[1mstrange\)/],
  ['an error of TCP with a name that only JavaScript has', DIALLED, ['ssh: connect to host 10.0.0.10 port 22: constructor'], 'UNREACHABLE', /no connection \(constructor\)/],
  ['a name that there is not', DIALLED, ['ssh: Could not resolve hostname db.example: Name or service not known'], 'UNREACHABLE', /no such name/],
  ['DNS that does not answer', DIALLED, ['ssh: Could not resolve hostname db.example: Temporary failure in name resolution'], 'UNREACHABLE', /DNS does not answer/],
  ['settings that it does not know', DIALLED, ['/home/me/.ssh/config: line 7: Bad configuration option: nonsense', '/home/me/.ssh/config: terminating, 1 bad configuration options'],
    'CONFIG_INVALID', /does not understand its settings: \/home\/me\/\.ssh\/config: line 7: Bad configuration option: nonsense$/],
  ['settings on the command line that it does not know', DIALLED, ['command-line: line 0: Bad configuration option: knownhostscommand'], 'CONFIG_INVALID', /knownhostscommand/],
  ['an algorithm that it does not know', DIALLED, ["command-line line 0: Bad SSH2 KexAlgorithms 'mlkem768x25519-sha256'."], 'UNREACHABLE', /Bad SSH2 KexAlgorithms/],
  ['nothing but its name', DIALLED, [], 'UNREACHABLE', /no connection could be made$/],
  ['what nobody thought of, before it was connected', DIALLED, ["Can't open user config file /nonesuch: No such file or directory"], 'UNREACHABLE', /ssh says: Can't open user config file/],
]

const NAMING: readonly Case[] = [
  ['an end before the banner (7.4)', CONNECTED, ['ssh_exchange_identification: Connection closed by remote host'], 'THROTTLED', /before its SSH banner$/],
  ['an end before the banner (8.4, 9.2)', CONNECTED, ['kex_exchange_identification: Connection closed by remote host', 'Connection closed by 10.0.0.10 port 22'], 'THROTTLED', /before its SSH banner$/],
  ['an end before the banner (10.5)', CONNECTED, ['Connection closed by 10.0.0.10 port 22'], 'THROTTLED', /before its SSH banner$/],
  ['a reset before the banner (7.4)', CONNECTED, ['ssh_exchange_identification: read: Connection reset by peer'], 'THROTTLED', /before its SSH banner$/],
  ['a reset before the banner (8.4 to 10.5)', CONNECTED, ['kex_exchange_identification: read: Connection reset by peer', 'Connection reset by 10.0.0.10 port 22'], 'THROTTLED', /before its SSH banner$/],
  ['MaxStartups (7.4)', CONNECTED, ['debug1: ssh_exchange_identification: Exceeded MaxStartups', '', 'ssh_exchange_identification: Connection closed by remote host'], 'THROTTLED', /saying "Exceeded MaxStartups"/],
  ['MaxStartups (8.4 to 10.5)', CONNECTED, ['debug1: kex_exchange_identification: banner line 0: Exceeded MaxStartups', 'kex_exchange_identification: Connection closed by remote host', 'Connection closed by 10.0.0.10 port 22'],
    'THROTTLED', /saying "Exceeded MaxStartups"/],
  ['PerSourcePenalties', CONNECTED, ['debug1: kex_exchange_identification: banner line 0: Not allowed at this time', 'Connection closed by 10.0.0.10 port 22'], 'THROTTLED', /Not allowed at this time/],
  ['a web server', CONNECTED, ['debug1: kex_exchange_identification: banner line 0: HTTP/1.1 400 Bad Request', 'kex_exchange_identification: Connection closed by remote host'], 'HANDSHAKE_FAILED', /not an SSH server; it says: HTTP\/1\.1 400 Bad Request/],
  ['a name that is none (7.4)', CONNECTED, ["Bad remote protocol version identification: 'SSH-garbage", "'"], 'HANDSHAKE_FAILED', /not an SSH server; it says: SSH-garbage$/],
  ['a name that is none (8.4 to 10.5)', CONNECTED, ["Bad remote protocol version identification: 'SSH-garbage'", 'banner exchange: Connection to 10.0.0.10 port 22: invalid format'], 'HANDSHAKE_FAILED', /not an SSH server; it says: SSH-garbage$/],
  ['a line that is too long', CONNECTED, ['kex_exchange_identification: banner line too long', 'banner exchange: Connection to 10.0.0.10 port 22: invalid format'], 'HANDSHAKE_FAILED', /not an SSH server$/],
  ['too much text', CONNECTED, ['debug1: kex_exchange_identification: banner line 0: x', 'kex_exchange_identification: No SSH version received in first 1024 lines from server', 'banner exchange: Connection to 10.0.0.10 port 22: invalid format'], 'HANDSHAKE_FAILED', /it says: x$/],
  ['a server that is silent', CONNECTED, ['Connection timed out during banner exchange', 'Connection to 10.0.0.10 port 22 timed out'], 'CONNECT_TIMEOUT', /did not answer/],
  ['SSH 1 (7.4)', NAMED, ['Protocol major versions differ: 2 vs. 1'], 'HANDSHAKE_FAILED', /Protocol major versions differ/],
  ['SSH 1 (8.4 to 10.5)', NAMED, ['Protocol major versions differ: 2 vs. 1', 'banner exchange: Connection to 10.0.0.10 port 22: could not read protocol version'], 'HANDSHAKE_FAILED', /could not read protocol version/],
]

const EXCHANGING: readonly Case[] = [
  ['a reset', NAMED, ['Connection reset by 10.0.0.10 port 22'], 'UNREACHABLE', /broke while exchanging keys/],
  ['an end', NAMED, ['Connection closed by 10.0.0.10 port 22'], 'UNREACHABLE', /broke while exchanging keys/],
  ['nothing at all, as when it is killed', NAMED, [], 'UNREACHABLE', /broke while exchanging keys/],
  ['noise', NAMED, ['Bad packet length 0.', 'ssh_dispatch_run_fatal: Connection to 10.0.0.10 port 22: message authentication code incorrect'], 'HANDSHAKE_FAILED', /failed while exchanging keys: .*authentication code incorrect/],
  ['no common key exchange', NAMED, ['Unable to negotiate with 10.0.0.10 port 22: no matching key exchange method found. Their offer: diffie-hellman-group14-sha1,ext-info-s,kex-strict-s-v00@openssh.com'],
    'HANDSHAKE_FAILED', /no common key exchange algorithm; the server offers: diffie-hellman-group14-sha1$/],
  ['no common host key', NAMED, ['Unable to negotiate with 10.0.0.10 port 22: no matching host key type found. Their offer: ssh-rsa'], 'HANDSHAKE_FAILED', /no common host key algorithm; the server offers: ssh-rsa$/],
  ['no common cipher', NAMED, ['Unable to negotiate with UNKNOWN port 65535: no matching cipher found. Their offer: aes128-cbc,3des-cbc'], 'HANDSHAKE_FAILED', /no common cipher algorithm; the server offers: aes128-cbc, 3des-cbc$/],
  ['no common MAC', NAMED, ['Unable to negotiate with ::1 port 22: no matching MAC found. Their offer: hmac-sha1'], 'HANDSHAKE_FAILED', /no common MAC algorithm; the server offers: hmac-sha1$/],
  ['nothing in common of a kind that nobody thought of', NAMED, ['Unable to negotiate with ::1 port 22: no matching hat found. Their offer: bowler'], 'HANDSHAKE_FAILED', /no common hat algorithm; the server offers: bowler$/],
  ['no negotiation at all', NAMED, ['Unable to negotiate with ::1 port 22: invalid format'], 'HANDSHAKE_FAILED', /no common algorithm: invalid format/],
  ['a host key that is revoked by the settings', NAMED, ['Host key ED25519 SHA256:abc revoked by file /etc/ssh/revoked'], 'HOST_KEY_REVOKED', /marked as revoked/],
  ['a host key that is revoked by our file', NAMED, ['@       WARNING: REVOKED HOST KEY DETECTED!               @', 'Host key verification failed.'], 'HOST_KEY_REVOKED', /marked as revoked/],
  ['a host that cannot sign', NAMED, ['ssh_dispatch_run_fatal: Connection to 10.0.0.10 port 22: incorrect signature'], 'HANDSHAKE_FAILED', /did not prove that it holds its host key/],
  ['an RSA key that is too short', NAMED, ['Bad server host key: Invalid key length'], 'HANDSHAKE_FAILED', /its host key is not allowed: Invalid key length/],
  ['a goodbye for too many connections', NAMED, ['Received disconnect from 10.0.0.10 port 22:12: Too many connections', 'Disconnected from 10.0.0.10 port 22'], 'THROTTLED', /ended the connection while exchanging keys: Too many connections/],
  ['any other goodbye', NAMED, ['Received disconnect from fe80::12 port 22:2: go \u001b[2J away'], 'HANDSHAKE_FAILED', /ended the connection while exchanging keys: go \\x1b\[2J away/],
]

const LOGGING_IN: readonly Case[] = [
  ['an end (7.4)', KEYED, ['Authentication failed.'], 'UNREACHABLE', /broke while logging in/],
  ['an end (8.4 to 10.5)', KEYED, ['Connection closed by 10.0.0.10 port 22'], 'UNREACHABLE', /broke while logging in/],
  ['a broken pipe', KEYED, ['ssh_dispatch_run_fatal: Connection to 10.0.0.10 port 22: Broken pipe'], 'UNREACHABLE', /broke while logging in/],
  ['silence of TCP', KEYED, ['ssh_dispatch_run_fatal: Connection to 10.0.0.10 port 22: Connection timed out'], 'UNREACHABLE', /broke while logging in/],
  ['a refusal (7.4)', KEYED, ['Permission denied (publickey,password).'], 'AUTH_FAILED', /^vm01 .*the login as admin@10\.0\.0\.10:22 was refused; tried: id_ed25519 \(ssh-ed25519\); the server accepts: publickey, password$/],
  ['a refusal (8.4 to 10.5)', KEYED, ['admin@10.0.0.10: Permission denied (publickey).'], 'AUTH_FAILED', /the server accepts: publickey$/],
  ['a refusal behind a banner without an end', KEYED, [`${'Welcome! '.repeat(300)}admin@10.0.0.10: Permission denied (publickey).`], 'AUTH_FAILED', /the server accepts: publickey$/],
  ['too many keys (7.4)', KEYED, ['Received disconnect from 10.0.0.10 port 22:2: Too many authentication failures', 'Authentication failed.'], 'AUTH_FAILED', /was refused \("Too many authentication failures"\); tried: /],
  ['too many keys (8.4 to 10.5)', KEYED, ['Received disconnect from 10.0.0.10 port 22:2: Too many authentication failures', 'Disconnected from 10.0.0.10 port 22'], 'AUTH_FAILED', /"Too many authentication failures"/],
  ['no more ways, without a word', KEYED, ['Received disconnect from 10.0.0.10 port 22:14: ', 'Disconnected from 10.0.0.10 port 22'], 'AUTH_FAILED', /was refused; tried: /],
  ['a goodbye', KEYED, ['Received disconnect from 10.0.0.10 port 22:11: Bye', 'Disconnected from 10.0.0.10 port 22'], 'HANDSHAKE_FAILED', /ended the connection while logging in: Bye/],
]

describe('an ssh that fails is told as it is where it says', () => {
  test.each<Case>([...REACHING, ...NAMING, ...EXCHANGING, ...LOGGING_IN])('%s', (_sentence, before, said, code, message) => {
    const error = startFailure(failed([...before, ...said]))
    expect(error).toMatchObject({ code, vmId: 'vm01', mayHaveRun: false, message: expect.stringMatching(message) })
    expect(error.message).toMatch(/^vm01 \(10\.0\.0\.10:22\): /)
  })

  test('no key exchange that withstands quantum computers, where one is required', () => {
    const said = 'Unable to negotiate with 10.0.0.10 port 22: no matching key exchange method found. Their offer: curve25519-sha256'
    const error = startFailure(failed([...NAMED, said], { requirePostQuantum: true }))
    expect(error).toMatchObject({ code: 'HANDSHAKE_FAILED', message: expect.stringMatching(/require_post_quantum is set.*it offers: curve25519-sha256$/) })
  })

  test.each<[string, readonly string[], RegExp, Partial<FailedStart>]>([
    ['that more than a key is wanted (7.4, 8.4)', ['Authenticated with partial success.', 'admin@h: Permission denied (password).'], /another proof/, {}],
    ['that more than a key is wanted (9.2, 10.5)', ['Authenticated using "publickey" with partial success.', 'admin@h: Permission denied (password).'], /another proof/, {}],
    ['that no keys are taken', ['admin@h: Permission denied (password).'], /accepts no keys/, {}],
    ['that the password was wrong', ['admin@h: Permission denied (publickey,password).'], /password was refused/, { hasPassword: true }],
    ['that no passwords are taken', ['admin@h: Permission denied (publickey).'], /accepts no passwords/, { hasPassword: true }],
    ['that too many keys were offered', ['Received disconnect from 10.0.0.10 port 22:2: Too many authentication failures'], /MaxAuthTries/, {}],
  ])('in a hint: %s', (_sentence, said, hint, more) => {
    expect(startFailure(failed([...KEYED, ...said], more)).hint).toMatch(hint)
  })
})

describe('what ssh says of a host key or a login', () => {
  test('is an untrusted key by one line alone', () => {
    expect(isUntrusted(transcriptOf([...NAMED, 'Host key verification failed.']))).toBe(true)
    expect(isUntrusted(transcriptOf([...NAMED, 'debug1: Host key verification failed.', 'No, Host key verification failed.', 'Host key verification failed. Or not']))).toBe(false)
  })

  test.each<[string, readonly string[], readonly string[] | undefined]>([
    ['nothing', [], undefined],
    ['one way', ['Permission denied (publickey).'], ['publickey']],
    ['two ways, by name and host', ['me@h: Permission denied (publickey,keyboard-interactive).'], ['publickey', 'keyboard-interactive']],
    ['no way', ['me@h: Permission denied ().'], []],
    ['a way, after another line of the kind', ['me@jump: Permission denied (password).', 'me@h: Permission denied (publickey).'], ['publickey']],
    ['no way, in words that are not its own', ['Permission denied, please try again.', 'xPermission denied (publickey).', 'Permission denied (publickey). Or not', 'Permission denied (a(b)).'], undefined],
  ])('is %s that the server accepts', (_sentence, said, methods) => {
    expect(acceptedMethods(transcriptOf([...KEYED, ...said]))).toEqual(methods)
  })
})

describe('a connection that is gone', () => {
  test.each<[string, readonly string[], string | undefined, RegExp]>([
    ['missed its keepalives', ['Timeout, server 10.0.0.10 not responding.'], undefined, /missed 3 keepalives/],
    ['was closed by the server', ['Connection to 10.0.0.10 closed by remote host.'], undefined, /the server closed the connection$/],
    ['was closed by the server, in other words', ['Connection closed by 10.0.0.10 port 22'], undefined, /the server closed the connection$/],
    ['was reset', ['client_loop: send disconnect: Connection reset'], undefined, /broke: client_loop: send disconnect: Connection reset/],
    ['broke (7.4)', ['packet_write_wait: Connection to 10.0.0.10 port 22: Broken pipe'], undefined, /broke: packet_write_wait: .*Broken pipe/],
    ['broke (8.4 to 10.5)', ['client_loop: send disconnect: Broken pipe'], undefined, /broke: client_loop: send disconnect: Broken pipe/],
    ['was ended by the server', ['Received disconnect from 10.0.0.10 port 22:2: go \u001b[1maway', 'Disconnected from 10.0.0.10 port 22'], undefined, /the connection broke: (Received disconnect|Disconnected) from/],
    ['was changed on the way', ['Corrupted MAC on input.', 'ssh_dispatch_run_fatal: Connection to 10.0.0.10 port 22: message authentication code incorrect'], undefined, /authentication code incorrect/],
    ['went with its ssh', [], undefined, /the ssh that held it ended/],
    ['went for what was said before', ['Warning: something else', 'channel 7: open failed: administratively prohibited: no'], undefined, /the ssh that held it ended/],
    ['was ended by us', ['Connection to 10.0.0.10 closed by remote host.'], 'the server did what it must not do', /: the server did what it must not do$/],
  ])('%s', (_sentence, said, violation, message) => {
    expect(lossOf(peer, transcriptOf(said), violation)).toMatchObject({ code: 'CONNECTION_LOST', vmId: 'vm01', message: expect.stringMatching(message) })
  })

  test('before it was one broke within the login, or is of an ssh that we do not understand', () => {
    const broken = Object.assign(new Error('connect ENOENT'), { code: 'ENOENT' })
    expect(masterFailure(peer, broken)).toMatchObject({ code: 'UNREACHABLE', mayHaveRun: false, cause: broken })
    expect(masterFailure(peer, new Error('version 5\u001b'))).toMatchObject({ code: 'HANDSHAKE_FAILED', message: expect.stringContaining('version 5\\x1b') })
    expect(masterFailure(peer, 'nothing')).toMatchObject({ code: 'HANDSHAKE_FAILED' })
  })
})

describe('lines that a server makes', () => {
  const pieces = [
    'ssh: connect to host ', ' port 1: ', 'ssh: Could not resolve hostname ', ': ', 'Unable to negotiate with ', ': no matching ', ' found. Their offer: ', 'Host key ', 'host key ', ' revoked by file ',
    'REVOKED HOST KEY DETECTED', 'Received disconnect from ', ':2: ', 'Permission denied (', ').', 'incorrect signature', 'Bad server host key: ', ' not permitted', ' line 1: ', 'Bad ', ' specification',
    ': terminating, 1 bad configuration', 'Connection closed', 'Host key verification failed.', 'debug1: ', '\n', '\r', '\u001b[2J', '\u202e', 'constructor', 'a', ',', "Bad remote protocol version identification: '",
    'debug1: kex_exchange_identification: banner line 0: ', 'debug1: Remote protocol version 2.0, remote software version ', 'debug1: SSH2_MSG_NEWKEYS received', 'Authenticated ', 'with partial success',
  ]
  const hostile = fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 5 })), { maxLength: 40 }).map((parts) => parts.join(''))

  test('get no further than a code and a short text without control characters', () => {
    fc.assert(fc.property(fc.constantFrom(DIALLED, CONNECTED, NAMED, KEYED), hostile, (before, text) => {
      const start = failed([...before, text])
      for (const error of [startFailure(start), lossOf(peer, start.transcript, undefined)]) {
        expect(Object.keys(ERRORS)).toContain(error.code)
        expect(error).toMatchObject({ vmId: 'vm01', mayHaveRun: false })
        expect(error.message).not.toMatch(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202e]/)
        expect(error.message.length).toBeLessThan(2000)
      }
    }), { numRuns: 500 })
  })

  test.each(pieces)('cost little, however often they have %j', (piece) => {
    const transcript = new Transcript()
    for (const before of KEYED) transcript.add(`${before}\n`)
    transcript.add(`${piece}${piece.replaceAll('\n', '').repeat(250 * 1024 / piece.length)}\n`)
    const startMs = performance.now()
    startFailure({ ...failed([]), transcript })
    lossOf(peer, transcript, undefined)
    isUntrusted(transcript)
    expect(performance.now() - startMs).toBeLessThan(1000)
  })
})
