import { remexError } from '../../core/errors.ts'
import { Turnstile } from '../../core/turnstile.ts'
import type { Connection, ConnectTarget, Engine } from '../contract.ts'
import { within } from '../bounds.ts'
import { NOBODY } from '../nobody.ts'
import { askSshOnce } from './ask-once.ts'
import type { Attempt } from './attempt.ts'
import type { SshProgram } from './program.ts'
import type { Reaper } from './reaper.ts'

/**
 * The engine that lets this machine's `ssh` connect: it has key exchange, certificates, security keys and settings that no library
 * for Node has. `ssh` is found by the `PATH` of `env`. What it needs is asked of it at the first use, by `program`.
 */
export function opensshEngine(env: Pick<NodeJS.ProcessEnv, string>, program: () => Promise<SshProgram> = askSshOnce(env)): Engine {
  const turnstile = new Turnstile()
  let reaper: Reaper | undefined
  const attempt = async <T>(target: Omit<ConnectTarget, 'identities'>, signal: AbortSignal | undefined, work: (attempt: Attempt) => Promise<T>): Promise<T> => {
    const [{ Attempt }, { Reaper }] = await Promise.all([import('./attempt.ts'), import('./reaper.ts')])
    reaper ??= new Reaper()
    const made = new Attempt(target, { env, turnstile, program, reaper })
    try {
      return await within({ timeoutMs: target.connectTimeoutMs, signal }, () => made.stage, () => work(made))
    } catch (error) {
      await made.abandon()
      throw error
    }
  }
  return {
    name: 'openssh',
    connect: (target, signal) => connect(target, () => attempt(target, signal, (made) => made.connect(target.identities, signal))),
    fetchHostKeys: (route) => attempt(anonymous(route), undefined, (made) => made.fetchHostKeys()),
    loginMethods: (target, signal) => attempt(target, signal, (made) => made.loginMethods()),
  }
}

function connect({ vmId, verifyHostKey }: ConnectTarget, attempt: () => Promise<Connection>): Promise<Connection> {
  // For callers that TypeScript does not hold: without a judge of the host key there is no connection.
  if (typeof verifyHostKey !== 'function') return Promise.reject(remexError('INTERNAL', 'verifyHostKey is missing', { vmId }))
  return attempt()
}

/** Nobody logs in there, and every key is taken: it is asked for, not relied on. */
function anonymous(route: Parameters<Engine['fetchHostKeys']>[0]): Omit<ConnectTarget, 'identities'> {
  return {
    ...route,
    login: NOBODY,
    engineReason: '',
    verifyHostKey: () => undefined,
    knownHostKeys: [],
    knownFingerprints: [],
    certAuthorities: [],
    revokedHostKeys: [],
    keepaliveIntervalMs: Infinity,
  }
}
