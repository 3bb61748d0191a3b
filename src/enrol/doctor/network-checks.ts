import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import { addAbortSignal } from 'node:stream'
import type { HostConfig } from '../../config/types.ts'
import { cancelledError, unlessAborted } from '../../core/abort.ts'
import { errorCode, systemReason } from '../../core/atomic-file.ts'
import type { Clock } from '../../core/clock.ts'
import { Deadline } from '../../core/deadline.ts'
import { formatDurationMs } from '../../core/duration.ts'
import { ERRORS } from '../../core/errors.ts'
import { failed, NETWORK_CHECKS, ok, skipped, type Judgement } from './finding.ts'

/** Bounds of what is asked of the network. */
export interface NetworkLimits {
  /** For each of the three checks; `Infinity` for none. */
  readonly timeoutMs: number
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
}

type Place = Pick<HostConfig, 'address' | 'port'>

/**
 * Whether the host's name is known, its port is open, and an SSH server answers there, without logging in. What comes behind the first
 * failure is skipped. Rejects with `CANCELLED` alone.
 */
export async function networkChecks(host: Pick<HostConfig, 'address' | 'port' | 'jump' | 'sshConfig'>, limits: NetworkLimits): Promise<readonly Judgement[]> {
  const { jump, sshConfig } = host
  const way = jump !== undefined ? `through ${jump}` : sshConfig && `as ssh_config says of ${sshConfig.alias}`
  if (way !== undefined) return NETWORK_CHECKS.map((check) => skipped(check, `reached ${way}`))
  const dns = await dnsCheck(host, limits)
  if (dns.status === 'failed') return [dns, skipped('tcp', 'there is no address to connect to'), skipped('banner', 'there is no connection')]
  const startMs = limits.clock.monotonicMs()
  const dialled = await dial(host, limits)
  if ('status' in dialled) return [dns, dialled, skipped('banner', 'there is no connection')]
  const tookMs = Math.round(limits.clock.monotonicMs() - startMs)
  return [dns, ok('tcp', `port ${host.port} is open (${tookMs} ms)`), await bannerCheck(dialled, limits)]
}

async function dnsCheck({ address }: Place, limits: NetworkLimits): Promise<Judgement> {
  if (isIP(address) !== 0) return skipped('dns', `${address} is an address, not a name`)
  try {
    const found = await bounded(limits, 'the look-up', (signal) => unlessAborted(lookup(address, { all: true }), signal, 'the look-up'))
    return ok('dns', `${address} is ${[...new Set(found.map((one) => one.address))].slice(0, 8).join(', ')}`)
  } catch (error) {
    refuseCancelled(limits.signal)
    const why = errorCode(error) === 'ENOTFOUND' ? 'there is no such name' : reasonOf(error, limits)
    return failed('dns', `${address}: ${why}`, `Check \`ip\` in the configuration, and the DNS of this machine: getent hosts ${address}`)
  }
}

/** The connection, or why there is none. */
async function dial({ address, port }: Place, limits: NetworkLimits): Promise<Socket | Judgement> {
  const socket = connect({ host: address, port })
  socket.on('error', () => undefined)
  try {
    await bounded(limits, 'connecting', (signal) => once(socket, 'connect', { signal }))
    return socket
  } catch (error) {
    socket.destroy()
    refuseCancelled(limits.signal)
    const hint = `Is the host up, does sshd run there, does a firewall let us through? Check \`ip\` and \`ssh_port\`: nc -vz ${address} ${port}`
    return failed('tcp', `port ${port} of ${address}: ${reasonOf(error, limits)}`, hint)
  }
}

/** A server may say other lines first. Source: RFC 4253 section 4.2. */
const IDENTIFICATION = /^SSH-[^\r\n]*(?=\r?\n)/m
const MOST_GREETING_CHARACTERS = 16 * 1024
const LONGEST_SHOWN = 200

/** What was heard, and how it ended. */
interface Greeting {
  readonly text: string
  readonly end: 'heard' | 'closed' | 'silent'
}

async function bannerCheck(socket: Socket, limits: NetworkLimits): Promise<Judgement> {
  return judgeGreeting(await greetingOf(socket, limits), limits)
}

async function greetingOf(socket: Socket, limits: NetworkLimits): Promise<Greeting> {
  using limit = new Deadline({ ...limits, what: 'the banner' })
  addAbortSignal(limit.signal, socket)
  let text = ''
  try {
    for await (const chunk of socket) {
      text += (chunk as Buffer).toString('latin1')
      if (IDENTIFICATION.test(text) || text.length > MOST_GREETING_CHARACTERS) return { text, end: 'heard' }
    }
    return { text, end: 'closed' }
  } catch {
    refuseCancelled(limits.signal)
    return { text, end: limit.signal.aborted ? 'silent' : 'closed' }
  } finally {
    socket.destroy()
  }
}

/** What a server's first words say of it. */
export function judgeGreeting({ text, end }: Greeting, { timeoutMs }: Pick<NetworkLimits, 'timeoutMs'>): Judgement {
  const [identification] = IDENTIFICATION.exec(text) ?? []
  if (identification !== undefined && /^SSH-(2\.0|1\.99)-/.test(identification)) return ok('banner', identification.slice(0, LONGEST_SHOWN))
  const first = (text.split(/[\r\n]/, 1)[0] ?? '').slice(0, LONGEST_SHOWN)
  // sshd says these lines, or nothing, to whom it has no room for.
  if (end === 'closed' && (text === '' || /^(Exceeded MaxStartups|Not allowed at this time)/.test(text))) {
    const said = text === '' ? '' : `, saying "${first}"`
    return failed('banner', `throttled: the server closed the connection before its SSH banner${said} (MaxStartups, PerSourcePenalties)`, ERRORS.THROTTLED.hint)
  }
  const check = 'Check `ip` and `ssh_port` in the configuration.'
  if (text === '') return failed('banner', `no banner within ${formatDurationMs(timeoutMs)}: something accepts connections and says nothing`, `An overloaded sshd, or no SSH server. ${check}`)
  if (identification !== undefined) return failed('banner', `the server speaks no SSH 2.0: ${first}`, check)
  return failed('banner', `what answers there is not an SSH server; it says: ${first}`, check)
}

/** Does `work`, whose signal aborts when the time has passed. */
async function bounded<T>(limits: NetworkLimits, what: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  using limit = new Deadline({ ...limits, what })
  return await work(limit.signal)
}

function refuseCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelledError(signal, 'the check')
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused; nothing listens on this port, or a firewall rejects it',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to its network',
  ETIMEDOUT: 'the host did not answer',
  EAI_AGAIN: 'DNS does not answer',
}

function reasonOf(error: unknown, { timeoutMs }: NetworkLimits): string {
  const code = errorCode(error)
  // Either the abort itself, or the reason it was made with.
  if (code === 'ABORT_ERR' || code === 'TIMED_OUT') return `no answer within ${formatDurationMs(timeoutMs)}`
  return REASONS[code ?? ''] ?? code ?? systemReason(error)
}
