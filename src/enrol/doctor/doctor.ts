import { setMaxListeners } from 'node:events'
import { hostState } from '../../config/target-hosts.ts'
import type { Config, HostConfig } from '../../config/types.ts'
import type { Clock } from '../../core/clock.ts'
import { remexError } from '../../core/errors.ts'
import type { Dispatcher } from '../../fleet/dispatch.ts'
import { fanOut } from '../../fleet/fan-out.ts'
import { selectHosts } from '../../fleet/roster.ts'
import { about, INSPECTION_CHECKS, NETWORK_CHECKS, skipped, type Finding, type Judgement } from './finding.ts'
import { inspectHost } from './inspection.ts'
import { localChecks } from './local-checks.ts'
import { networkChecks } from './network-checks.ts'
import type { AskSsh } from './ssh-check.ts'

/** How to look for what is wrong. */
export interface DoctorOptions {
  /** Hosts at a time. Default: `max_parallel_commands`, 32. */
  readonly parallel?: number
  readonly signal?: AbortSignal
}

/** What the doctor needs. */
export interface DoctorRuntime {
  readonly config: Config
  readonly dispatcher: Pick<Dispatcher, 'step'>
  readonly clock: Clock
  readonly env: NodeJS.ProcessEnv
  /** Undefined: the `ssh` of this machine is not asked what it can do. */
  readonly askSsh?: AskSsh | undefined
}

/** As many as Remex begins at a time with one server. */
const MOST_LOGINS_AT_ONCE = 8

/**
 * Looks at this machine, then at each host, and yields what every check came to: of a host together, as soon as it is done. Nothing is
 * changed. `targets` undefined: all hosts that may be used. Throws `USAGE`, `HOST_UNKNOWN` or `HOST_NOT_ALLOWED` for targets that are wrong, and `CANCELLED`.
 */
export async function* examine(runtime: DoctorRuntime, targets: string | readonly string[] | undefined, { parallel, signal }: DoctorOptions): AsyncGenerator<Finding, void> {
  const { config, clock, env, askSsh } = runtime
  const { hosts, leftOut } = chosen(config, targets)
  const atOnce = parallel ?? config.settings.maxParallel
  if (!Number.isSafeInteger(atOnce) || atOnce < 1) throw remexError('USAGE', `parallel: ${String(atOnce)} is not a whole number of at least 1`)
  // Every host listens to it, and Node takes more than ten listeners for a leak.
  if (signal) setMaxListeners(0, signal)
  const local = await localChecks(config, hosts, { env, nowMs: clock.now(), nodeVersion: process.versions.node, askSsh })
  yield* about(undefined, local)
  for (const { id, reason } of leftOut) yield* about(id, [skipped('configuration', `${id} is ${reason}`)])
  const visit = new Visit(runtime, { hosts, parallel: atOnce, signal, isAuditable: !local.some(({ check, status }) => check === 'audit' && status === 'failed') })
  for await (const found of fanOut(hosts, atOnce, (host) => visit.to(host))) yield* found
}

interface Chosen {
  readonly hosts: readonly HostConfig[]
  readonly leftOut: readonly { readonly id: string; readonly reason: string }[]
}

function chosen(config: Config, targets: string | readonly string[] | undefined): Chosen {
  const all = [...config.hosts.values()]
  // Without any usable host there is still this machine to look at.
  if (targets === undefined && !all.some((host) => hostState(config, host) === 'usable')) return { hosts: [], leftOut: [] }
  const { ids, leftOut } = selectHosts(config, targets ?? 'all')
  return { hosts: all.filter(({ id }) => ids.includes(id)), leftOut }
}

interface VisitPlan {
  readonly hosts: readonly HostConfig[]
  readonly parallel: number
  readonly signal: AbortSignal | undefined
  /** Whether what is done on hosts can be recorded. */
  readonly isAuditable: boolean
}

/** The hosts of one examination. */
class Visit {
  readonly #runtime: DoctorRuntime
  readonly #plan: VisitPlan
  /** A server that several hosts share is knocked at once: it takes few who do not log in. */
  readonly #servers = new Map<string, Promise<readonly Judgement[]>>()

  constructor(runtime: DoctorRuntime, plan: VisitPlan) {
    this.#runtime = runtime
    this.#plan = plan
  }

  async to(host: HostConfig): Promise<readonly Finding[]> {
    const network = await this.#network(host)
    return about(host.id, [...network, ...(await this.#inspection(host, network))])
  }

  #network(host: HostConfig): Promise<readonly Judgement[]> {
    const server = serverOf(host)
    const { settings } = this.#runtime.config
    const asked = this.#servers.get(server) ?? networkChecks(host, { timeoutMs: settings.connectTimeoutMs, clock: this.#runtime.clock, signal: this.#plan.signal })
    this.#servers.set(server, asked)
    return asked
  }

  async #inspection(host: HostConfig, network: readonly Judgement[]): Promise<readonly Judgement[]> {
    const { hosts, parallel, signal, isAuditable } = this.#plan
    const stop = NETWORK_CHECKS.find((check) => network.some((one) => one.check === check && one.status === 'failed'))
    if (stop !== undefined) return notLookedAt(stop)
    if (!isAuditable) return notLookedAt('audit, and nothing is done on a host that cannot be recorded')
    const sharing = hosts.filter((other) => serverOf(other) === serverOf(host)).length
    return inspectHost({ ...this.#runtime, signal, loginsAtOnce: Math.min(sharing, parallel, MOST_LOGINS_AT_ONCE) }, host)
  }
}

const notLookedAt = (why: string): readonly Judgement[] => INSPECTION_CHECKS.map((check) => skipped(check, `not looked at, because of ${why}`))

const serverOf = ({ jump, sshConfig, address, port }: HostConfig): string => `${jump ?? ''}>${sshConfig?.alias ?? ''}>${address}:${port}`
