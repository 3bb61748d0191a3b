import type { AuditLog, NoteFields } from '../audit/log.ts'
import type { Config } from '../config/types.ts'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { ApprovalRequest } from '../policy/approval-request.ts'
import type { ApprovalStore, Approver, StoredRequest } from '../policy/approvals.ts'
import { whyNotSecond } from '../policy/second-person.ts'
import { maySpeak } from './approval.ts'

/** What approving needs. */
export interface ApprovalsRuntime {
  readonly config: Config
  /** Opened at its first use. Rejects with `AUDIT_UNAVAILABLE`. */
  readonly audit: () => Promise<AuditLog>
  /** Who approves. */
  readonly user: string
  /** The operating system's user. */
  readonly osUser: string
  /** Undefined without a policy: then nothing is asked for. */
  readonly approvals: ApprovalStore | undefined
}

/** What rules of the policy ask a second person to approve. */
export class Approvals {
  readonly #runtime: ApprovalsRuntime

  constructor(runtime: ApprovalsRuntime) {
    this.#runtime = runtime
  }

  /** What waits for an approval, oldest first. Rejects where the directory of requests cannot be read. */
  async list(): Promise<readonly ApprovalRequest[]> {
    return (await this.#runtime.approvals?.pending()) ?? []
  }

  /**
   * Approves a request, once, and resolves with it; the audit log has it before. Rejects with `USAGE` for a request that is not there or
   * is over, and with `POLICY_DENIED` for who is not the second person; that is in the log too.
   */
  async approve(opId: string): Promise<ApprovalRequest> {
    const { approvals, config, user, osUser } = this.#runtime
    const audit = await this.#runtime.audit()
    const stored = await approvals?.find(opId)
    if (!approvals || !stored) throw notThere(opId, config)
    const { request } = stored
    const state = await approvals.state(stored)
    if (state !== 'pending') throw remexError('USAGE', `the request ${opId} ${STATES[state]}`, { hint: 'See what waits for an approval: remex approve' })
    const why = this.#whyNot(stored, { user, osUser })
    if (why !== undefined) {
      const refusal = remexError('POLICY_DENIED', `the policy does not let ${printable(user)} approve ${opId}: ${why}`, { hint: hintFor(request), vmId: request.vmId })
      await audit.note('denied', { ...this.#facts(request), status: 'error', error_code: refusal.code, reason: refusal.message })
      throw refusal
    }
    await audit.note('approved', { ...this.#facts(request), status: 'success', reason: `asked for by ${request.user} (${request.osUser}) under rule ${request.rule}` })
    await approvals.approve(stored, user)
    return request
  }

  #whyNot({ request }: StoredRequest, who: Approver): string | undefined {
    return whyNotSecond(request, who, { approvers: request.approvers, maySpeak: maySpeak(this.#runtime.config, request.vmId, who) })
  }

  #facts({ opId, vmId, operation, command }: ApprovalRequest): NoteFields {
    return { op_id: opId, user_id: this.#runtime.user, vm_id: vmId, operation, command }
  }
}

const STATES = { approved: 'is approved already', used: 'was used already', expired: 'has expired' } as const

function notThere(opId: string, { policy }: Config): ReturnType<typeof remexError> {
  const where = policy ? ` in ${printable(policy.approvalsPath)}` : ': the configuration has no policy'
  return remexError('USAGE', `there is no request ${printable(opId)}${where}`, { hint: 'See what waits for an approval: remex approve' })
}

function hintFor({ approvers }: ApprovalRequest): string {
  return approvers.length > 0 ? `These may: ${approvers.map(printable).join(', ')}.` : 'Somebody else has to, under their own user of the operating system.'
}
