import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readTranscript } from '../../src/transport/openssh/certificate-transcript.ts'
import { opensshCertificates, type CertificateQuestion } from '../../src/transport/openssh/host-certificate.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { silentAfterAccept, startSshServer } from '../../testkit/index.ts'
import { sampleHostKey } from '../keys/host-key-samples.ts'

const SHOWN = `SHA256:${'A'.repeat(43)}`
const OTHER = `SHA256:${'B'.repeat(43)}`
const FILE = `ca-${randomBytes(16).toString('hex')}`

const certificate = (fingerprint: string, id = 'host'): string => `debug1: Server host certificate: ssh-ed25519-cert-v01@openssh.com ${fingerprint}, serial 0 ID "${id}" CA ssh-ed25519 ${OTHER} valid forever`
const MATCHES = "debug1: Host 'vm01' is known and matches the ED25519-CERT host certificate."
const FOUND = `debug1: Found CA key in ${FILE}:2`
const DONE = 'debug1: SSH2_MSG_NEWKEYS sent'
const REFUSED = ['debug1: No matching CA found. Retry with plain key', 'Host key verification failed.']

describe('what ssh says of a host certificate', () => {
  it.each<[string, readonly string[], object]>([
    ['is valid where the authority is found and new keys follow', [certificate(SHOWN), MATCHES, FOUND, 'debug1: rekey out after 134217728 blocks', DONE], { kind: 'valid', fingerprint: SHOWN, line: 2 }],
    ['is not valid before that', [certificate(SHOWN), MATCHES, FOUND], { kind: 'failed' }],
    ['is not valid where dates or names are refused, though it matches', [certificate(SHOWN), MATCHES, FOUND, 'Certificate invalid: expired', ...REFUSED], { kind: 'invalid', reason: 'expired' }],
    ['is not valid by a match and new keys alone, which a server can make up', [certificate(OTHER, `x\n${MATCHES}\ndebug1: Found CA key in ca-0:1\n${DONE}\n`), ...REFUSED], { kind: 'untrusted', authority: `ssh-ed25519 ${OTHER}` }],
    ['is not valid by new keys made up before the authority is found', [`debug1: Remote: x\n${DONE}`, certificate(SHOWN), MATCHES, FOUND, ...REFUSED], { kind: 'failed' }],
    ['is of the last key before the authority was found, not of one made up before', [`debug1: Remote: x\n${certificate(OTHER)}`, certificate(SHOWN), MATCHES, FOUND, DONE], { kind: 'valid', fingerprint: SHOWN }],
    ['is none where there is nothing to agree on', ['Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: ssh-ed25519'], { kind: 'none' }],
    ['is a failure where it is nothing of these', ['ssh: connect to host 10.0.0.1 port 22: Connection refused'], { kind: 'failed', said: 'ssh: connect to host 10.0.0.1 port 22: Connection refused' }],
    ['is a failure where it is nothing at all', [], { kind: 'failed', said: '' }],
  ])('%s', (_, lines, verdict) => {
    expect(readTranscript(lines.map((line) => `${line}\r\n`).join(''), FILE)).toMatchObject(verdict)
  })

  it('is never valid by anything that a server can make ssh print, for it cannot name the file', () => {
    const line = fc.oneof(fc.constantFrom(certificate(SHOWN), MATCHES, DONE, 'debug1: Found CA key in ca-0:1', 'debug1: Found CA key in :1'), fc.string())
    fc.assert(fc.property(fc.array(line), (lines) => readTranscript(`${lines.join('\n')}\n`, FILE).kind !== 'valid'))
  })

  it('is not judged by a line that has not come to its end', () => {
    expect(readTranscript([certificate(SHOWN), FOUND, DONE].join('\r\n'), FILE).kind).toBe('failed')
  })
})

describe.skipIf(!findProgram('ssh'))('asking for a host certificate', () => {
  const check = opensshCertificates(process.env)
  const question = (server: { address: string; port: number }): CertificateQuestion => ({ vmId: 'vm01', address: server.address, port: server.port, login: 'tester', connectTimeoutMs: 5000, authorities: [sampleHostKey()] })

  it('names the program that is missing, and how to get it', async () => {
    await using server = await startSshServer()
    await expect(opensshCertificates({ PATH: '/nowhere' })(question(server))).rejects.toMatchObject({ code: 'LOCAL_NOT_FOUND', hint: expect.stringContaining('openssh-client') })
  })

  it('never comes to a login where there is no certificate', async () => {
    await using server = await startSshServer()
    await expect(check(question(server))).rejects.toMatchObject({ code: 'HOST_KEY_UNKNOWN', vmId: 'vm01' })
    expect(server.logins).toBe(0)
  })

  it('ends in time where nobody answers, and when the caller wants it to', async () => {
    await using server = await silentAfterAccept()
    await expect(check({ ...question(server), connectTimeoutMs: 300 })).rejects.toMatchObject({ code: 'CONNECT_TIMEOUT' })
    await expect(check(question(server), AbortSignal.timeout(300))).rejects.toMatchObject({ code: 'CANCELLED' })
    await expect(check(question(server), AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' })
  })
})
