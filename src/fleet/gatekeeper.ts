import type { AuditLog, BeginFields, FinishFields } from '../audit/log.ts'
import type { Config, HostConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { asRemexError, remexError, withDetails } from '../core/errors.ts'
import { decide } from '../policy/decide.ts'
import type { Session } from '../session/session.ts'
import type { Gate } from './gate.ts'
import { errorFinish } from './record.ts'
import { matchesTarget, usableHost } from './roster.ts'

/** What the gatekeeper asks and tells. */
export interface GateRuntime {
  readonly config: Config
  /** Opened at its first use. Rejects with `AUDIT_UNAVAILABLE`. */
  readonly audit: () => Promise<AuditLog>
  /** Who asks. */
  readonly user: string
  /** The operating system's user. */
  readonly osUser: string
  readonly clock: Clock
  readonly sessionOf: (host: HostConfig) => Session
}

/** A live listener that never returns must not hold up the end of everything. */
const SETTLE_MS = 5000

/** The policy decides, the log has it on disk, it is done, the log has how it ended. */
export class Gatekeeper {
  readonly #runtime: GateRuntime
  readonly #running = new Set<Promise<unknown>>()

  constructor(runtime: GateRuntime) {
    this.#runtime = runtime
  }

  /** Lets an operation through, or refuses it. What it failed with is in its result; rejects with `USAGE`, and with what the gate's `failed` throws. */
  async through<R>(vmId: string, gate: Gate<R>): Promise<R> {
    const passing = this.#pass(vmId, gate)
    this.#running.add(passing)
    try {
      return await passing
    } finally {
      this.#running.delete(passing)
    }
  }

  /** Resolves when nothing runs any more and the log has how it ended; after a while even so. */
  async settled(): Promise<void> {
    const over = new AbortController()
    const late = this.#runtime.clock.sleep(SETTLE_MS, over.signal).catch(() => undefined)
    await Promise.race([Promise.allSettled(this.#running), late])
    over.abort()
  }

  async #pass<R>(vmId: string, gate: Gate<R>): Promise<R> {
    let result: R | undefined
    try {
      const audit = await this.#runtime.audit()
      const host = await this.#admit(vmId, gate, audit)
      const entry = await audit.begin({ ...this.#who(vmId, gate), ...gate.description.fields, secrets: gate.description.secrets })
      const session = gate.session?.(host) ?? this.#runtime.sessionOf(host)
      result = await this.#perform(session, gate, (fields) => audit.finish(entry, fields))
      await audit.finish(entry, gate.finish(result, session.connection))
      return result
    } catch (error) {
      const known = withDetails(asRemexError(error), { vmId })
      // A wrong call and a listener's own error are the caller's; everything else is how the host fared.
      if (known.code === 'USAGE' || known.code === 'INTERNAL') throw error
      return gate.failed(known, result)
    }
  }

  async #perform<R>(session: Session, gate: Gate<R>, finish: (fields: FinishFields) => Promise<void>): Promise<R> {
    try {
      return await gate.perform(session)
    } catch (error) {
      await finish(errorFinish(asRemexError(error), session.connection))
      throw error
    }
  }

  /** The host, where configuration and policy allow the operation; a refusal is in the log. */
  async #admit<R>(vmId: string, gate: Gate<R>, audit: AuditLog): Promise<HostConfig> {
    const { config, user, osUser } = this.#runtime
    const { operation, words, shellText, fields, secrets } = gate.description
    try {
      const host = usableHost(config, vmId)
      const matchesHost = (expression: string): boolean => matchesTarget(config, vmId, expression)
      const decision = decide(config.policy, { user, osUser, vmId, operation, words, shellText, matchesHost })
      if (decision.effect === 'allow') return host
      throw remexError('POLICY_DENIED', `the policy does not allow ${operation} on ${vmId}: ${decision.reason}`, { vmId })
    } catch (error) {
      const known = asRemexError(error)
      await audit.note('denied', { ...this.#who(vmId, gate), ...fields, secrets, status: 'error', error_code: known.code, reason: known.message })
      throw error
    }
  }

  #who<R>(vmId: string, { description, runId }: Gate<R>): Pick<BeginFields, 'user_id' | 'vm_id' | 'operation' | 'run_id' | 'address' | 'login'> {
    const host = this.#runtime.config.hosts.get(vmId)
    return {
      run_id: runId,
      user_id: this.#runtime.user,
      vm_id: vmId,
      ...(host ? { address: host.address, login: host.login } : {}),
      operation: description.operation,
    }
  }
}
