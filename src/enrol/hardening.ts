import { remexError, RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { quoteWord } from '../core/quote.ts'
import type { StoredKey } from '../keys/key-store.ts'
import { armScript, confirmScript, NO_DROP_IN, NO_SSHD_CONFIG, OVERRIDDEN, REFUSED, undoScript, UNDONE } from './hardening-scripts.ts'
import { isLetIn, type Subject } from './key-access.ts'

/** What hardening came to. */
export interface HardeningReport {
  readonly vmId: string
  /** Whether something was changed; false where it was so already. */
  readonly changed: boolean
  /** What the host accepts now as proof of who logs in. */
  readonly methods: readonly string[]
}

/** The host undoes it by itself when the proof has not come by then. */
const ROLLBACK_MS = 60_000
/** How long sshd may take until it goes by the new settings. */
const RELOAD_MS = 10_000
const LOOK_AGAIN_MS = 250
/** What lets in whoever guesses right, or anybody. Tickets and host-based logins are the business of whoever set them up. */
const GUESSABLE = new Set(['password', 'keyboard-interactive', 'none'])
/** While sshd reads its settings anew, nobody listens for a moment. */
const RELOADING = new Set(['UNREACHABLE', 'CONNECTION_LOST', 'THROTTLED', 'CONNECT_TIMEOUT'])

/**
 * Lets the sshd of a host accept keys and no passwords, by a drop-in file. That the host's key still opens it, and that it takes
 * no password any more, is proved by new connections; where that fails, or we are gone, the host goes back to what it had before.
 * Rejects with why it could not be done; the host is then as it was.
 */
export async function hardenHost(subject: Subject, rollbackAfterMs = ROLLBACK_MS): Promise<HardeningReport> {
  const key = await provenKey(subject)
  const state = await arm(subject, Math.ceil(rollbackAfterMs / 1000))
  try {
    const methods = await proof(subject, key)
    if (state !== undefined) await confirm(subject, state)
    subject.onStep(`a login with the key works, and the host accepts no passwords, only ${methods.slice(0, 10).map(printable).join(', ')}`)
    return { vmId: subject.host.id, changed: state !== undefined, methods }
  } catch (error) {
    if (state !== undefined) await undo(subject, state)
    throw error
  }
}

/** Without a key that opens the host, it would be locked for everybody. */
async function provenKey(subject: Subject): Promise<StoredKey> {
  const { host: { id: vmId }, files } = subject
  const key = await files.current()
  const hint = `Nothing was changed. First: remex keys setup ${vmId}`
  if (!key) throw remexError('KEY_NOT_FOUND', `${vmId} has no key of its own, so passwords must stay`, { vmId, hint })
  if (await isLetIn(subject, key)) return key
  throw remexError('AUTH_FAILED', `${vmId} does not let its key in, so passwords must stay`, { vmId, hint })
}

/** The directory of what is armed; undefined where everything was so already. */
async function arm(subject: Subject, seconds: number): Promise<string | undefined> {
  const { stdout, exitCode, stderr } = await asRoot(subject, armScript(seconds))
  const text = stdout.toString('utf8')
  if (exitCode === 0 && text.trim() === 'already') {
    subject.onStep('sshd accepts keys alone already')
    return undefined
  }
  const state = /^state (\/[A-Za-z0-9/._-]+)$/m.exec(text)?.[1]
  if (exitCode !== 0 || state === undefined) throw unarmed(subject, exitCode, stderr)
  subject.onStep(`wrote ${printable(/^file (.+)$/m.exec(text)?.[1] ?? 'the drop-in file')} and reloaded sshd; without a proof it is undone after ${seconds} s`)
  return state
}

/** New connections, until sshd goes by the new settings or the time is over. */
async function proof(subject: Subject, key: StoredKey): Promise<readonly string[]> {
  const { host: { id: vmId }, runtime: { clock } } = subject
  const endMs = clock.monotonicMs() + RELOAD_MS
  for (;;) {
    const seen = await attempt(subject, key)
    if (seen.kind === 'proved') return seen.methods
    if (clock.monotonicMs() >= endMs) {
      throw remexError('AUTH_FAILED', `${vmId}: ${seen.why}, so everything was put back as it was`, { vmId, hint: 'On the host see whether a Match block in sshd_config says otherwise, and the log of sshd.' })
    }
    await clock.sleep(LOOK_AGAIN_MS, subject.signal)
  }
}

type Seen = { readonly kind: 'proved'; readonly methods: readonly string[] } | { readonly kind: 'not_yet'; readonly why: string }

async function attempt(subject: Subject, key: StoredKey): Promise<Seen> {
  const { host: { id: vmId }, runtime, signal } = subject
  try {
    const methods = await runtime.dispatcher.step(vmId, { operation: 'key_prove', userKey: key.fingerprint, signal }, (on) => on.loginMethods())
    const guessable = methods.filter((method) => GUESSABLE.has(method))
    if (guessable.length > 0) return { kind: 'not_yet', why: `it still accepts ${guessable.join(', ')}` }
    return (await isLetIn(subject, key)) ? { kind: 'proved', methods } : { kind: 'not_yet', why: 'it does not let the key in any more' }
  } catch (error) {
    if (error instanceof RemexError && RELOADING.has(error.code)) return { kind: 'not_yet', why: `it cannot be reached any more (${error.message})` }
    throw error
  }
}

async function confirm(subject: Subject, state: string): Promise<void> {
  const { exitCode } = await asRoot(subject, confirmScript(quoteWord(state)))
  const { id: vmId } = subject.host
  if (exitCode !== 0) throw remexError('TIMED_OUT', `the proof of ${vmId} came too late: the host has put its settings back as they were`, { vmId, hint: 'Repeat it.' })
}

/** Where it cannot be done by us, the host does it by itself a little later. */
async function undo(subject: Subject, state: string): Promise<void> {
  // An interruption must not keep us from it.
  const calm = { ...subject, signal: undefined }
  const outcome = await asRoot(calm, undoScript(quoteWord(state))).catch(() => undefined)
  const isUndone = outcome?.exitCode === 0 || outcome?.exitCode === UNDONE
  subject.onStep(isUndone ? 'put the settings of sshd back as they were' : 'could not put the settings of sshd back; the host does it by itself within a minute')
}

function asRoot({ runtime, host, signal }: Subject, text: string): Promise<{ readonly exitCode: number | null; readonly stdout: Buffer; readonly stderr: Buffer }> {
  // Root needs no sudo, and may not have it.
  return runtime.dispatcher.step(host.id, { operation: 'key_harden', signal }, (on) => on.run(text, { sudo: host.login !== 'root' }))
}

function unarmed({ host: { id: vmId } }: Subject, exitCode: number | null, stderr: Buffer): RemexError {
  const said = printable(stderr.toString('utf8').trim().slice(-300))
  const unchanged = 'Nothing was changed.'
  switch (exitCode) {
    case NO_SSHD_CONFIG:
      return remexError('REMOTE_NOT_FOUND', `the sshd of ${vmId} or its configuration cannot be found`, { vmId, hint: `${unchanged} Only OpenSSH's sshd can be hardened.` })
    case NO_DROP_IN:
      return remexError('REMOTE_NOT_FOUND', `the sshd_config of ${vmId} includes no directory of drop-in files`, { vmId, hint: `${unchanged} Make its first line: Include /etc/ssh/sshd_config.d/*.conf` })
    case REFUSED:
      return remexError('USAGE', `the sshd of ${vmId} refuses its configuration: ${said}`, { vmId, hint: `${unchanged} Mend it on the host: sshd -t` })
    case OVERRIDDEN:
      return remexError('USAGE', `something that comes first in the sshd_config of ${vmId} says otherwise: ${said.replaceAll(String.raw`\n`, ', ')}`, { vmId, hint: `${unchanged} Move the line that includes the drop-in files to the top of sshd_config.` })
    default:
      return remexError('TRANSFER_FAILED', `the settings of sshd on ${vmId} could not be changed (exit status ${exitCode ?? 'unknown'}): ${said}`, { vmId, hint: unchanged })
  }
}
