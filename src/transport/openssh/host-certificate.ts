import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cancelledError } from '../../core/abort.ts'
import { errorCode } from '../../core/atomic-file.ts'
import { formatDurationMs } from '../../core/duration.ts'
import { remexError, type RemexError } from '../../core/errors.ts'
import { formatHostKey, type HostKey } from '../../core/host-key.ts'
import { printable } from '../../core/printable.ts'
import { lookupName } from '../../keys/host-names.ts'
import { ALGORITHMS } from '../algorithms.ts'
import type { ConnectTarget } from '../contract.ts'
import { timerMs } from '../timer.ts'
import { readTranscript, type CertificateVerdict } from './certificate-transcript.ts'

/** Which host is asked for its certificate, and who may have signed it. */
export interface CertificateQuestion extends Pick<ConnectTarget, 'vmId' | 'address' | 'port' | 'login' | 'connectTimeoutMs'> {
  /** At least one. */
  readonly authorities: readonly HostKey[]
}

/** What a valid certificate of a host says. */
export interface HostCertificate {
  /** Of the host's own key, `SHA256:…`. */
  readonly fingerprint: string
  /** Who signed it: one of those that were asked about. */
  readonly authority: HostKey
}

/**
 * Has the host's certificate verified. Rejects with `HOST_KEY_UNKNOWN` where the host has none, or none that is valid now, for this
 * name, and by one of the authorities; with `LOCAL_NOT_FOUND` without OpenSSH's `ssh`; and as connecting does.
 */
export type CertificateCheck = (question: CertificateQuestion, signal?: AbortSignal) => Promise<HostCertificate>

/** Enough for what ssh says of one handshake. A server that makes it say more is not waited for. */
const MOST_OUTPUT_BYTES = 64 * 1024

/** Verification by this machine's `ssh`, found by the `PATH` of `env`, for the in-process engine cannot read certificates. Nothing is run on the host. */
export function opensshCertificates(env: Pick<NodeJS.ProcessEnv, string>): CertificateCheck {
  return async (question, signal) => {
    if (signal?.aborted) throw cancelledError(signal, 'the check of a host certificate')
    const directory = await mkdtemp(join(tmpdir(), 'remex-ca-'))
    // A name that the server cannot guess, so that what it makes ssh print cannot pass for what ssh found in this file.
    const file = `ca-${randomBytes(16).toString('hex')}`
    try {
      const lines = question.authorities.map((key) => `@cert-authority ${lookupName(question)} ${formatHostKey(key)}\n`)
      await writeFile(join(directory, file), lines.join(''), { mode: 0o600, encoding: 'latin1' })
      const child = spawn('ssh', sshArguments(question, file), { cwd: directory, env: { PATH: env['PATH'] }, stdio: ['ignore', 'ignore', 'pipe'] })
      return certificateOf(await verdictOf(child, { question, file, signal }), question)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  }
}

/** Nothing of the user's settings counts, and nothing is offered for a login. */
function sshArguments({ address, port, login, connectTimeoutMs }: CertificateQuestion, file: string): string[] {
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: file,
    GlobalKnownHostsFile: '/dev/null',
    HostKeyAlgorithms: ALGORITHMS.hostKey.map((algorithm) => `${algorithm}-cert-v01@openssh.com`).join(','),
    FingerprintHash: 'sha256',
    PreferredAuthentications: 'none',
    PubkeyAuthentication: 'no',
    IdentityAgent: 'none',
    IdentityFile: 'none',
    ConnectTimeout: Number.isFinite(connectTimeoutMs) ? Math.max(1, Math.ceil(connectTimeoutMs / 1000)) : 'none',
  }
  const settings = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  return ['-F', '/dev/null', ...settings, '-v', '-T', '-N', '-p', String(port), '-l', login, '--', address]
}

interface Watch {
  readonly question: CertificateQuestion
  readonly file: string
  readonly signal: AbortSignal | undefined
}

/** What ssh says; it is ended as soon as that is clear. It has nothing to log in with, should it get so far. */
async function verdictOf(child: ChildProcess, { question, file, signal }: Watch): Promise<CertificateVerdict> {
  const { vmId, connectTimeoutMs } = question
  let text = ''
  let failure: RemexError | undefined
  const end = (error?: RemexError): void => {
    failure ??= error
    child.kill('SIGKILL')
  }
  const onAbort = (): void => end(signal && cancelledError(signal, 'the check of a host certificate'))
  const late = (): void => end(remexError('CONNECT_TIMEOUT', `${vmId} did not show a host certificate within ${formatDurationMs(connectTimeoutMs)}`, { vmId }))
  const waitMs = timerMs(connectTimeoutMs)
  const timer = waitMs === 0 ? undefined : setTimeout(late, waitMs)
  signal?.addEventListener('abort', onAbort, { once: true })
  child.stderr?.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
    if (text.length > MOST_OUTPUT_BYTES) end(remexError('HANDSHAKE_FAILED', `${vmId} makes ssh say more than it can have to say`, { vmId }))
    else if (readTranscript(text, file).kind === 'valid') end()
  })
  try {
    await new Promise<void>((resolve, reject) => child.once('close', () => resolve()).once('error', reject))
  } catch (error) {
    throw notStarted(vmId, error)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
  if (failure) throw failure
  return readTranscript(text, file)
}

function notStarted(vmId: string, cause: unknown): RemexError {
  const isMissing = errorCode(cause) === 'ENOENT'
  return remexError(isMissing ? 'LOCAL_NOT_FOUND' : 'HANDSHAKE_FAILED', `the host certificate of ${vmId} cannot be verified: OpenSSH’s ssh ${isMissing ? 'is not installed' : 'cannot be started'} here`, {
    vmId,
    hint: 'Install it (Debian: apt install openssh-client), or compare the fingerprint yourself: remex hosts trust <host> --fingerprint SHA256:…',
    cause,
  })
}

/** `HOST_KEY_UNKNOWN` for a host certificate by an authority that is trusted, which is not for now or not for this host. `reason`: ssh's. */
export function invalidCertificate(vmId: string, reason: string): RemexError {
  return remexError('HOST_KEY_UNKNOWN', `${vmId} shows a host certificate that is not valid: ${printable(reason)}`, {
    vmId,
    hint: 'Nothing was trusted. On the host: ssh-keygen -Lf <certificate> shows for how long and for which names; have its key signed again.',
  })
}

/** `HOST_KEY_UNKNOWN` for a host certificate that somebody else signed: `ssh-ed25519 SHA256:…`. */
export function foreignCertificate(vmId: string, authority: string): RemexError {
  return remexError('HOST_KEY_UNKNOWN', `${vmId} shows a host certificate by ${printable(authority)}, which is not the authority that is trusted`, {
    vmId,
    hint: 'Nothing was trusted. Find out who signed it; the authority’s own: ssh-keygen -lf ca.pub',
  })
}

function certificateOf(verdict: CertificateVerdict, { vmId, authorities }: CertificateQuestion): HostCertificate {
  const refuse = (message: string, hint: string): RemexError => remexError('HOST_KEY_UNKNOWN', `${vmId} ${message}`, { vmId, hint: `Nothing was trusted. ${hint}` })
  switch (verdict.kind) {
    case 'valid': {
      const authority = authorities[verdict.line - 1]
      if (authority) return { fingerprint: verdict.fingerprint, authority }
      throw refuse('shows a host certificate of an authority that was not asked about', '')
    }
    case 'invalid':
      throw invalidCertificate(vmId, verdict.reason)
    case 'untrusted':
      throw foreignCertificate(vmId, verdict.authority)
    case 'none':
      throw refuse('shows no host certificate', 'Have its key signed by the authority and set HostCertificate in its sshd_config, or give --fingerprint.')
    case 'failed':
      throw remexError('HANDSHAKE_FAILED', `the host certificate of ${vmId} could not be verified; ssh says: ${printable(verdict.said)}`, { vmId })
  }
}
