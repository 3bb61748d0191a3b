import { remexError, RemexError } from '../../core/errors.ts'
import type { HostKey } from '../../core/host-key.ts'
import { Turnstile } from '../../core/turnstile.ts'
import { ALGORITHMS, hostKeyOrder, keyTypeOf, type HostKeyAlgorithm } from '../algorithms.ts'
import type { Connection, ConnectTarget, Engine, Route } from '../contract.ts'
import { Attempt } from './attempt.ts'
import type { Peer } from '../peer.ts'
import { Ssh2Connection } from './connection.ts'
import type { Shaken } from './handshake.ts'
import { loadSsh2, type Ssh2 } from './load.ts'
import { Login } from './login.ts'
import { prepareOffers } from './offers.ts'

/** The in-process engine, on the npm package ssh2. */
export function ssh2Engine(): Engine {
  const turnstile = new Turnstile()
  const attemptAt: AttemptAt = (target, signal) => new Attempt({ peer: target, timeoutMs: target.connectTimeoutMs, signal, turnstile })
  return {
    name: 'ssh2',
    connect: (target, signal) => connect(attemptAt(target, signal), target, turnstile),
    fetchHostKeys: (target) => fetchHostKeys(attemptAt, target),
    loginMethods: (target, signal) => loginMethods(attemptAt(target, signal), target),
  }
}

/** Begins an attempt at a target. */
type AttemptAt = (target: Peer & Pick<Route, 'connectTimeoutMs'>, signal?: AbortSignal) => Attempt

function connect(attempt: Attempt, target: ConnectTarget, turnstile: Turnstile): Promise<Connection> {
  // For callers that TypeScript does not hold: without a judge of the host key there is no connection.
  if (typeof target.verifyHostKey !== 'function') {
    return Promise.reject(remexError('INTERNAL', 'verifyHostKey is missing', { vmId: target.vmId }))
  }
  // To read a private key takes as long as a signature.
  const offering = async (ssh2: Ssh2): Promise<Login> => new Login(target, await turnstile.do(() => prepareOffers(ssh2, target)))
  return attempt.within(() => establish(attempt, target, { offering }))
}

/** A target as far as the way to it and its proof of itself go. */
type ProvingTarget = Omit<ConnectTarget, 'identities'>

/** How to log in, and the types of the host's keys that were not recognised. */
interface Entrance {
  readonly offering: (ssh2: Ssh2) => Promise<Login>
  readonly refused?: readonly string[]
}

/**
 * Where only a fingerprint is known, the type of its key is not, and the host may show another of its keys first.
 * So a host that is not recognised by one key is asked for its others, each on a new connection, before it counts as changed.
 */
async function establish(attempt: Attempt, target: ProvingTarget, { offering, refused = [] }: Entrance): Promise<Connection> {
  const shown: string[] = [...refused]
  const verifyHostKey = (key: HostKey): void => {
    shown.push(key.type)
    target.verifyHostKey(key)
  }
  const hostKeyAlgorithms = hostKeyOrder(target.knownHostKeys.map(({ type }) => type)).filter((algorithm) => !refused.includes(keyTypeOf(algorithm)))
  try {
    return await logIn(attempt, { ...target, verifyHostKey, hostKeyAlgorithms }, offering)
  } catch (error) {
    const offered = attempt.transcript.offer?.hostKey ?? []
    const hasOthers = hostKeyAlgorithms.some((algorithm) => offered.includes(algorithm) && !shown.includes(keyTypeOf(algorithm)))
    const mayBeKnown = target.knownHostKeys.length === 0 && hasOthers
    if (!(error instanceof RemexError && error.code === 'HOST_KEY_CHANGED' && mayBeKnown)) throw error
  }
  return establish(attempt, target, { offering, refused: shown })
}

async function logIn(attempt: Attempt, target: ProvingTarget & { readonly hostKeyAlgorithms: readonly HostKeyAlgorithm[] }, offering: Entrance['offering']): Promise<Connection> {
  // The network is slow and so is loading ssh2, so both go on at once. An unusable key is told before an unreachable host.
  const { stream, open } = await attempt.dial(target)
  const ssh2 = await loadSsh2()
  const attempts = await offering(ssh2)
  await open
  const { verifyHostKey, keepaliveIntervalMs, wantsHostKeys = false, hostKeyAlgorithms, engineReason } = target
  const { client, info } = await attempt.shake({ ssh2, stream, hostKeyAlgorithms, verifyHostKey, login: { name: target.login, attempts }, keepaliveIntervalMs, wantsHostKeys })
  return new Ssh2Connection({ client, info: { ...info, engineReason }, stream, target })
}

/** A login that offers nothing: the refusal names what would be accepted. */
async function loginMethods(attempt: Attempt, target: ProvingTarget): Promise<readonly string[]> {
  const attempts = new Login(target, { list: [], notes: [] })
  try {
    const connection = await attempt.within(() => establish(attempt, target, { offering: () => Promise.resolve(attempts) }))
    connection.close()
    return ['none']
  } catch (error) {
    if (attempts.accepted === undefined) throw error
    return attempts.accepted
  }
}

/**
 * One connection tells what algorithms the server has and shows its best key; then one for each further type of key,
 * one after the other, because servers count connections that never log in (MaxStartups, PerSourcePenalties).
 * `connectTimeoutMs` bounds each of them.
 */
async function fetchHostKeys(attemptAt: AttemptAt, target: Route): Promise<readonly HostKey[]> {
  const first = await fetchOne(attemptAt(target), target, ALGORITHMS.hostKey)
  const keys = [first.hostKey]
  const offered = ALGORITHMS.hostKey.filter((algorithm) => first.transcript.offer?.hostKey.includes(algorithm) === true)
  for (const algorithm of offered) {
    if (keys.some(({ type }) => type === keyTypeOf(algorithm))) continue
    keys.push(...(await fetchFurther(attemptAt(target), target, algorithm)))
  }
  return keys
}

function fetchOne(attempt: Attempt, target: Route, hostKeyAlgorithms: readonly HostKeyAlgorithm[]): Promise<Shaken> {
  return attempt.within(async () => {
    const { stream, open } = await attempt.dial(target)
    const ssh2 = await loadSsh2()
    await open
    // Any key will do: it is asked for, not relied on.
    return attempt.shake({ ssh2, stream, hostKeyAlgorithms, verifyHostKey: () => undefined, keepaliveIntervalMs: Infinity, wantsHostKeys: false })
  })
}

/** The key of one more algorithm; none where it is too weak, or the server does not have it in spite of what it said. */
async function fetchFurther(attempt: Attempt, target: Route, algorithm: HostKeyAlgorithm): Promise<HostKey[]> {
  try {
    return [(await fetchOne(attempt, target, [algorithm])).hostKey]
  } catch (error) {
    if (error instanceof RemexError && error.code === 'HANDSHAKE_FAILED') return []
    throw error
  }
}
