import type { AuditLog, BeginFields, NoteFields } from '../audit/log.ts'
import type { Config, HostConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { asRemexError, remexError, withDetails } from '../core/errors.ts'
import type { ApprovalStore } from '../policy/approvals.ts'
import type { Session } from '../session/session.ts'
import { askFor, waitsError, type Granted, type Waiting } from './approval.ts'
import type { Gate } from './gate.ts'
import { judge } from './judgement.ts'
import { errorFinish } from './record.ts'
import type { Terms } from './recorder.ts'
import { usableHost } from './roster.ts'

/** What the gatekeeper asks and tells. */
export interface GateRuntime {
  readonly config: Config
  /** Opened at its first use. Rejects with `AUDIT_UNAVAILABLE`. */
  readonly audit: () => Promise<AuditLog>
  /** Who asks. */
  readonly user: string
  /** The operating system's user. */
  readonly osUser: string
  /** Undefined without a policy. */
  readonly approvals: ApprovalStore | undefined
  readonly clock: Clock
  readonly sessionOf: (host: HostConfig) => Session
}

/** What may be done: where, and by whose approval, if it took one. */
interface Admission extends Terms {
  readonly host: HostConfig
  readonly granted?: Granted
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
      const { host, granted, recordsOutput } = await this.#admit(vmId, gate, audit)
      const entry = await audit.begin({ ...this.#who(vmId, gate), ...sudoOf(gate, host), ...gate.description.fields, ...granted, secrets: gate.description.secrets })
      const session = gate.session?.(host) ?? this.#runtime.sessionOf(host)
      result = await gate.perform(session, { recordsOutput }).catch(async (error: unknown) => {
        await audit.finish(entry, errorFinish(asRemexError(error), session.connection))
        throw error
      })
      await audit.finish(entry, gate.finish(result, session.connection))
      return result
    } catch (error) {
      const known = withDetails(asRemexError(error), { vmId })
      // A wrong call and a listener's own error are the caller's; everything else is how the host fared.
      if (known.code === 'USAGE' || known.code === 'INTERNAL') throw error
      return gate.failed(known, result)
    }
  }

  /** The host, where configuration and policy allow the operation, or somebody approved it; a refusal is in the log. */
  async #admit<R>(vmId: string, gate: Gate<R>, audit: AuditLog): Promise<Admission> {
    const answer = await this.#answer(vmId, gate).catch(async (error: unknown) => {
      const { code, message } = asRemexError(error)
      await audit.note('denied', { ...this.#told(vmId, gate), status: 'error', error_code: code, reason: message })
      throw error
    })
    if ('host' in answer) return answer
    const { waits, isNew } = answer
    const error = waitsError(waits)
    // Whoever approves it is to find in the log that it was asked for.
    await audit.note('asked', { ...this.#told(vmId, gate), op_id: waits.opId, status: 'error', error_code: error.code, reason: error.message })
    if (isNew) await this.#runtime.approvals?.add(waits)
    throw error
  }

  async #answer<R>(vmId: string, { description }: Gate<R>): Promise<Admission | Waiting> {
    const { config, user, osUser, approvals } = this.#runtime
    const { operation, words, shellText } = description
    const host = usableHost(config, vmId)
    const { effect, rule: number = 0, reason } = judge(config, vmId, { user, osUser, operation, words, shellText })
    const rule = config.policy?.rules[number - 1]
    const recordsOutput = rule?.recordOutput ?? config.settings.recordOutput
    if (effect === 'allow') return { host, recordsOutput }
    if (effect === 'deny' || !rule || !approvals) throw remexError('POLICY_DENIED', `the policy does not allow ${operation} on ${vmId}: ${reason}`, { vmId })
    const answer = await askFor({ ...this.#runtime, approvals }, { host, description, number, rule })
    return 'granted' in answer ? { host, recordsOutput, granted: answer.granted } : answer
  }

  #told<R>(vmId: string, gate: Gate<R>): NoteFields {
    const { fields, secrets } = gate.description
    return { ...this.#who(vmId, gate), ...fields, secrets }
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

/** Also where it is the host's configuration that says so. */
function sudoOf<R>({ description }: Gate<R>, host: HostConfig): Pick<BeginFields, 'sudo_user'> {
  const { sudo } = description.bound(host)
  return typeof sudo === 'string' ? { sudo_user: sudo } : {}
}
