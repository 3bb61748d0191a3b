import type { HostConfig } from '../../config/types.ts'
import type { Clock } from '../../core/clock.ts'
import { asRemexError, RemexError, type ErrorCode } from '../../core/errors.ts'
import { quoteWord } from '../../core/quote.ts'
import type { Dispatcher } from '../../fleet/dispatch.ts'
import type { HostSteps } from '../../fleet/steps.ts'
import type { ConnectionInfo } from '../../transport/contract.ts'
import { judgeConnection } from './connection-judgements.ts'
import { judgeFacts } from './fact-judgements.ts'
import { factsScript, parseFacts } from './facts.ts'
import { failed, failedBy, INSPECTION_CHECKS, ok, skipped, warning, type CheckName, type Judgement } from './finding.ts'

/** What an inspection needs. */
export interface InspectionRuntime {
  readonly dispatcher: Pick<Dispatcher, 'step'>
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
  /** How many logins may begin at the same time on this server. */
  readonly loginsAtOnce: number
}

/**
 * What shows once one logs in, over one connection and in one step that policy and audit know. What comes behind the failure that ended it
 * is skipped. Rejects with `CANCELLED` alone.
 */
export async function inspectHost(runtime: InspectionRuntime, host: HostConfig): Promise<readonly Judgement[]> {
  const inspection = new Inspection(runtime)
  try {
    await runtime.dispatcher.step(host.id, { operation: 'host_inspect', signal: runtime.signal }, (on) => inspection.work(on))
  } catch (error) {
    const known = asRemexError(error)
    if (known.code === 'CANCELLED') throw known
    if (!inspection.isToldOf) inspection.found.push(gateFailure(known))
  }
  return withTheRest(inspection.found)
}

/** What kept the inspection from beginning, or its end from being recorded. */
function gateFailure(error: RemexError): Judgement {
  // Whoever may not look has done nothing wrong.
  if (error.code === 'POLICY_DENIED') return warning('policy', error.message, error.hint)
  return failedBy(error.code === 'AUDIT_UNAVAILABLE' ? 'audit' : 'connection', error)
}

/** What was not come to is told as such. */
function withTheRest(found: readonly Judgement[]): readonly Judgement[] {
  const inspected = new Set(found.map(({ check }) => check))
  const stop = found.find(({ status, check }) => status === 'failed' || check === 'policy')
  const rest = INSPECTION_CHECKS.filter((check) => !inspected.has(check)).map((check) => skipped(check, stop ? `not looked at, because of ${stop.check.replace('_', ' ')}` : 'not looked at'))
  const order: readonly CheckName[] = ['policy', 'audit', 'connection', ...INSPECTION_CHECKS]
  return [...found, ...rest].toSorted((one, other) => order.indexOf(one.check) - order.indexOf(other.check))
}

class Inspection {
  readonly found: Judgement[] = []
  readonly #runtime: InspectionRuntime
  #isToldOf = false

  constructor(runtime: InspectionRuntime) {
    this.#runtime = runtime
  }

  /** Whether the failure that ended it is among what was found. */
  get isToldOf(): boolean {
    return this.#isToldOf
  }

  async work(on: HostSteps): Promise<void> {
    const info = await this.#telling((error) => connectFailure(on, error), () => on.connect())
    this.found.push(...judgeConnection(info, on.host.id), await authentication(on))
    await this.#telling((error) => Promise.resolve([failedBy('shell', error)]), async () => this.found.push(...(await this.#facts(on, info))))
  }

  async #facts(on: HostSteps, { serverVersion }: ConnectionInfo): Promise<readonly Judgement[]> {
    const { clock, loginsAtOnce } = this.#runtime
    const { host } = on
    const fromMs = clock.now()
    const { stdout, stderr, exitCode } = await on.run(factsScript(typeof host.sudo === 'string' ? host.sudo : 'root'))
    const facts = parseFacts(stdout)
    if (facts.values.size === 0) return [mute(host, { exitCode, said: stdout.length > 0 ? stdout : stderr })]
    return judgeFacts(facts, { host, serverVersion, loginsAtOnce, fromMs, toMs: clock.now() })
  }

  /** Does `work`; what it fails with is found, and goes on to the audit log. */
  async #telling<T>(judge: (error: RemexError) => Promise<readonly Judgement[]>, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const known = asRemexError(error)
      if (known.code !== 'CANCELLED') {
        this.found.push(...(await judge(known)))
        this.#isToldOf = true
      }
      throw known
    }
  }
}

/** A login whose command does not run: a shell like nologin, or a forced command. */
function mute({ id, login }: HostConfig, { exitCode, said }: { readonly exitCode: number | null; readonly said: Buffer }): Judgement {
  const first = said.subarray(0, 200).toString('utf8').trim()
  const shown = first === '' ? 'it says nothing' : `it says: ${first.split('\n', 1)[0] ?? ''}`
  const hint = `Is its shell one that runs commands, and is there no ForceCommand? On ${id}: getent passwd ${quoteWord(login)}`
  return failed('shell', `${login} can log in, and runs no commands: exit status ${exitCode ?? 'unknown'}, ${shown}`, hint)
}

/** Where a connection that did not come about stood. */
const STOPPED_AT: Partial<Record<ErrorCode, CheckName>> = {
  HANDSHAKE_FAILED: 'algorithms',
  HOST_KEY_UNKNOWN: 'host_key',
  HOST_KEY_CHANGED: 'host_key',
  HOST_KEY_REVOKED: 'host_key',
  // The known_hosts files cannot be read, or host_key is none.
  PERMISSION_DENIED: 'host_key',
  CONFIG_INVALID: 'host_key',
  KEY_NOT_FOUND: 'authentication',
  KEY_UNUSABLE: 'authentication',
  AUTH_FAILED: 'authentication',
}

const AGREED = ok('algorithms', 'agreed')
const KNOWN = ok('host_key', 'known, and proven by the server')

async function connectFailure(on: HostSteps, error: RemexError): Promise<readonly Judgement[]> {
  if (error.code === 'KEY_NOT_FOUND' || error.code === 'KEY_UNUSABLE') return withoutKey(on, error)
  // There ssh may refuse its own settings, which is no matter of the host's key.
  const isOfSsh = error.code === 'CONFIG_INVALID' && on.host.sshConfig !== undefined
  const check = (isOfSsh ? undefined : STOPPED_AT[error.code]) ?? 'connection'
  if (error.code === 'AUTH_FAILED') return [AGREED, KNOWN, refusedLogin(on.host, error)]
  return error.code.startsWith('HOST_KEY_') ? [AGREED, failedBy(check, error)] : [failedBy(check, error)]
}

/** Nobody knocked for want of a key: the host can still be asked whether it is the right one. */
async function withoutKey(on: HostSteps, error: RemexError): Promise<readonly Judgement[]> {
  const { identityFile, identityCertificate } = on.host
  const isKey = error.code === 'KEY_NOT_FOUND' && identityFile === undefined && identityCertificate === undefined
  const login = failed('authentication', error.message, isKey ? setUp(on.host) : error.hint)
  try {
    const methods = await on.loginMethods()
    return [AGREED, KNOWN, { ...login, message: `${login.message}; the server accepts: ${methods.join(', ')}` }]
  } catch (other) {
    const known = asRemexError(other)
    if (STOPPED_AT[known.code] === 'authentication') return [login]
    return [...(await connectFailure(on, known)), login]
  }
}

function refusedLogin(host: HostConfig, { message, hint }: RemexError): Judgement {
  const { identityCertificate: certificate } = host
  // Who logs in by an authority's word looks at that first, and need not be in any authorized_keys.
  return failed('authentication', message, `${hint}\n${certificate === undefined ? setUp(host) : `ssh-keygen -Lf ${quoteWord(certificate)}`}`)
}

const setUp = ({ id }: HostConfig): string => `remex keys setup ${quoteWord(id)}`

/** What can be guessed, or asked out of somebody. */
const WITHOUT_KEY = ['password', 'keyboard-interactive']

async function authentication(on: HostSteps): Promise<Judgement> {
  const { id, login } = on.host
  const inside = `logged in as ${login}`
  const methods = await on.loginMethods().catch((error: unknown) => asRemexError(error))
  if (methods instanceof RemexError) return ok('authentication', `${inside}; what else the server accepts is not known: ${methods.message}`)
  const all = methods.slice(0, 10).join(', ').slice(0, 200)
  if (methods.includes('none')) return failed('authentication', `${inside}; the server lets in whoever asks, without any proof`, `In sshd_config on ${id}: PermitEmptyPasswords no, then: systemctl reload ssh`)
  if (methods.some((method) => WITHOUT_KEY.includes(method))) return warning('authentication', `${inside}; the server accepts passwords too: ${all}`, `remex keys harden ${quoteWord(id)}`)
  return ok('authentication', `${inside}; the server accepts ${all}`)
}
