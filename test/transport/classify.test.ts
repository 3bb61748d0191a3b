import { describe, expect, test } from 'vitest'
import { RemexError, type ErrorCode } from '../../src/core/errors.ts'
import { cancelledError, endpoint, timeoutError, type Phase } from '../../src/transport/peer.ts'
import { connectError, disconnectText, isTooManyAttempts, lostError, openFailure } from '../../src/transport/ssh2/classify.ts'
import { Transcript } from '../../src/transport/ssh2/transcript.ts'

const peer = { vmId: 'vm01', address: '10.0.0.10', port: 22 }

const node = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code })
const ssh2 = (message: string, level?: string): Error => Object.assign(new Error(message), level === undefined ? {} : { level })
const refusal = (text: string, reason: unknown): Error => Object.assign(new Error(`(SSH) Channel open failure: ${text}`), { reason })
const disconnect = (reason: number, text: string): Error => Object.assign(new Error(text), { code: reason })

type Case = readonly [sentence: string, phase: Phase, error: unknown, code: ErrorCode, message: RegExp, said?: string]

const CASES: readonly Case[] = [
  ['a refused connection', 'dial', node('ECONNREFUSED'), 'UNREACHABLE', /connection refused/],
  ['a host without a route', 'dial', node('EHOSTUNREACH'), 'UNREACHABLE', /no route to the host/],
  ['a network without a route', 'dial', node('ENETUNREACH'), 'UNREACHABLE', /no route to its network/],
  ['a name that there is not', 'dial', node('ENOTFOUND'), 'UNREACHABLE', /no such name/],
  ['DNS that does not answer', 'dial', node('EAI_AGAIN'), 'UNREACHABLE', /DNS does not answer/],
  ['TCP that gives up', 'dial', node('ETIMEDOUT'), 'CONNECT_TIMEOUT', /did not answer/],
  ['too many open files', 'dial', node('EMFILE'), 'UNREACHABLE', /too many open files/],
  ['an error of TCP that nobody thought of', 'dial', node('ESTRANGE'), 'UNREACHABLE', /ESTRANGE/],
  ['a reset as soon as the server has accepted', 'dial', node('ECONNRESET'), 'THROTTLED', /before its SSH banner/],
  ['a reset before the banner', 'identification', node('ECONNRESET'), 'THROTTLED', /before its SSH banner/],
  ['an end before the banner', 'identification', undefined, 'THROTTLED', /before its SSH banner/],
  ['an end before the banner, in ssh2\'s words', 'identification', ssh2('Connection lost before handshake', 'protocol'),
    'THROTTLED', /banner/],
  ['MaxStartups', 'identification', undefined, 'THROTTLED', /"Exceeded MaxStartups"/, 'Exceeded MaxStartups\r\n'],
  ['PerSourcePenalties', 'identification', undefined, 'THROTTLED', /Not allowed/, 'Not allowed at this time\r\n'],
  ['a web server', 'identification', undefined,
    'HANDSHAKE_FAILED', /not an SSH server.*HTTP\/1\.1 400/, 'HTTP/1.1 400 Bad Request\r\n\r\nx'],
  ['too much text', 'identification', ssh2('Max greeting lines exceeded'), 'HANDSHAKE_FAILED', /not an SSH server/, 'a\n'],
  ['SSH 1', 'identification', ssh2('Invalid identification string'), 'HANDSHAKE_FAILED', /no SSH 2\.0/, 'SSH-1.5-old\n'],
  ['a reset within the key exchange', 'handshake', node('ECONNRESET'), 'UNREACHABLE', /broke while exchanging keys/],
  ['an end within the key exchange', 'handshake', undefined, 'UNREACHABLE', /broke while exchanging keys/],
  ['an end within the login', 'login', undefined, 'UNREACHABLE', /broke while logging in/],
  ['a broken pipe within the login', 'login', node('EPIPE'), 'UNREACHABLE', /broke while logging in/],
  ['no common key exchange', 'handshake', ssh2('Handshake failed: no matching key exchange algorithm', 'handshake'),
    'HANDSHAKE_FAILED', /no common key exchange algorithm/],
  ['no common host key type', 'handshake', ssh2('Handshake failed: no matching host key format', 'handshake'),
    'HANDSHAKE_FAILED', /no common host key algorithm/],
  ['no common cipher', 'handshake', ssh2('Handshake failed: no matching C->S cipher', 'handshake'),
    'HANDSHAKE_FAILED', /no common cipher algorithm/],
  ['no common MAC', 'handshake', ssh2('Handshake failed: no matching S->C MAC', 'handshake'),
    'HANDSHAKE_FAILED', /no common MAC algorithm/],
  ['a host that cannot sign', 'handshake', ssh2('Handshake failed: signature verification failed', 'handshake'),
    'HANDSHAKE_FAILED', /did not prove/],
  ['a packet out of place', 'handshake', ssh2('Received unexpected packet type 99', 'handshake'), 'HANDSHAKE_FAILED', /packet type 99/],
  ['a goodbye for too many connections', 'handshake', disconnect(12, 'too many'), 'THROTTLED', /too many/],
  ['any other goodbye', 'handshake', disconnect(2, 'go \u001b[2J away'), 'HANDSHAKE_FAILED', /go \\x1b\[2J away/],
]

describe('an attempt that fails with', () => {
  for (const [sentence, phase, error, code, message, said = ''] of CASES) {
    test(`${sentence} is told as it is`, () => {
      const transcript = new Transcript()
      transcript.add(Buffer.from(said))
      const result = connectError({ peer, phase, transcript }, error)
      expect(result).toBeInstanceOf(RemexError)
      expect(result).toMatchObject({ code, vmId: 'vm01', mayHaveRun: false, message: expect.stringMatching(message) })
      expect(result.message).toMatch(/^vm01 \(10\.0\.0\.10:22\): /)
      expect(result.cause).toBe(error)
    })
  }
})

describe('the other errors', () => {
  const standing = { peer, phase: 'login', transcript: new Transcript() } as const

  test('name the phase that took too long, or was cancelled', () => {
    const message = 'vm01 (10.0.0.10:22): no answer within 1.5 s while logging in'
    expect(timeoutError(standing, 1500)).toMatchObject({ code: 'CONNECT_TIMEOUT', message })
    expect(cancelledError(standing, 'why')).toMatchObject({ code: 'CANCELLED', cause: 'why' })
  })

  test('say why a connection was lost, and whether the command may have run', () => {
    expect(lostError(peer, node('ECONNRESET'), true)).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: true })
    const message: unknown = expect.stringContaining('server closed')
    expect(lostError(peer, undefined)).toMatchObject({ code: 'CONNECTION_LOST', mayHaveRun: false, message })
  })

  test.each([
    ['Too many authentication failures', 2, true],
    ['Max auth tries reached', 2, true],
    ['whatever', 14, true],
    ['Bye', 2, false],
  ])('see in "%s" (%i) whether too many keys were offered: %s', (text, reason, isTooMany) => {
    expect(isTooManyAttempts(disconnect(reason, text))).toBe(isTooMany)
    expect(disconnectText(disconnect(reason, text))).toBe(text)
    expect(disconnectText(ssh2(text))).toBeUndefined()
  })

  test.each([
    ['a limit on sessions', refusal('open failed', 2), { kind: 'refused', reason: 2, text: 'open failed' }],
    ['a close in place of an answer', refusal('server closed channel unexpectedly', ''),
      { kind: 'refused', reason: 0, text: 'server closed channel unexpectedly' }],
    ['no terminal', new Error('Unable to request a pseudo-terminal'),
      { kind: 'refused', reason: 0, text: 'Unable to request a pseudo-terminal' }],
    ['no answer to the command', new Error('Unable to exec'), { kind: 'unanswered' }],
    ['no answer to the subsystem', new Error('Unable to start subsystem: sftp'), { kind: 'unanswered' }],
    ['a connection that went first', new Error('No response from server'), { kind: 'unsent' }],
    ['a connection that was gone', new Error('Not connected'), { kind: 'unsent' }],
  ])('know %s when no channel comes', (_sentence, error, expected) => {
    expect(openFailure(error)).toEqual(expected)
  })

  test('write IPv6 addresses in brackets', () => {
    expect([endpoint('::1', 22), endpoint('db.example', 2222)]).toEqual(['[::1]:22', 'db.example:2222'])
  })
})
