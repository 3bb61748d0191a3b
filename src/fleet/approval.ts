import type { BeginFields } from '../audit/log.ts'
import { Mask } from '../audit/masking/mask.ts'
import type { Config, HostConfig } from '../config/types.ts'
import type { Clock } from '../core/clock.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { ApprovalRequest, AskedFor } from '../policy/approval-request.ts'
import type { ApprovalStore, Approver } from '../policy/approvals.ts'
import { maySpeakFor, type Rule } from '../policy/decide.ts'
import { boundDigest, type Bound } from '../policy/digest.ts'
import { whyNotSecond } from '../policy/second-person.ts'
import type { Description } from './record.ts'
import { matchesTarget } from './roster.ts'

/** What a rule asks an approval of. */
export interface Asking {
  readonly host: HostConfig
  readonly description: Description
  /** Counted from 1. */
  readonly number: number
  readonly rule: Rule
}

/** What the begin record says of an approval. */
export type Granted = Required<Pick<BeginFields, 'approval' | 'approved_by' | 'approved_by_os_user'>>

/** A request that nobody has approved. */
export interface Waiting {
  readonly waits: ApprovalRequest
  /** Whether it is still to be written down. */
  readonly isNew: boolean
}

/** What it takes to ask for an approval. */
export interface AskingRuntime {
  readonly config: Config
  readonly user: string
  readonly osUser: string
  readonly clock: Clock
  readonly approvals: ApprovalStore
}

/** Takes an approval of exactly this, if there is one: it is used up then. Else finds the request for it, or drafts a new one. */
export async function askFor(runtime: AskingRuntime, asking: Asking): Promise<{ readonly granted: Granted } | Waiting> {
  const { approvals, clock } = runtime
  const asked = await askedFor(runtime, asking)
  let waits: ApprovalRequest | undefined
  const latestMs = clock.now() + asking.rule.expiresMs
  for (const one of await approvals.waiting(asked)) {
    // What is valid longer than the rule lets it was not asked for by this rule.
    if (Date.parse(one.request.expires) > latestMs) continue
    const approver = await approvals.approver(one)
    if (approver === undefined) waits ??= one.request
    else if (typeof approver === 'object' && isSecond(runtime, asking, approver) && (await approvals.take(one))) {
      return { granted: { approval: one.request.opId, approved_by: approver.user, approved_by_os_user: approver.osUser } }
    }
  }
  return { waits: waits ?? approvals.draft(asked, asking.rule.expiresMs), isNew: waits === undefined }
}

function isSecond({ config, user, osUser }: AskingRuntime, { host, rule }: Asking, approver: Approver): boolean {
  return whyNotSecond({ user, osUser }, approver, { approvers: rule.approvers, maySpeak: maySpeak(config, host.id, approver) }) === undefined
}

/** Whether the policy lets a user of the operating system speak for a name on a host. */
export function maySpeak(config: Config, vmId: string, who: Approver): boolean {
  return config.policy !== undefined && maySpeakFor(config.policy, { ...who, matchesHost: (expression) => matchesTarget(config, vmId, expression) })
}

/** The refusal of what waits for an approval: who has to type what. */
export function waitsError({ opId, rule, operation, vmId, expires, approvers }: ApprovalRequest): RemexError {
  const who = approvers.length === 0 ? 'Somebody else' : approvers.map(printable).join(' or ')
  return remexError('POLICY_DENIED', `rule ${rule} asks for an approval of ${operation} on ${vmId}`, {
    vmId,
    hint: `${who} types, before ${expires}: remex approve ${opId}; then repeat the same command.`,
  })
}

async function askedFor({ config, user, osUser }: AskingRuntime, { host, description, number, rule }: Asking): Promise<AskedFor> {
  const { operation, words, shellText, secrets, script } = description
  const bound = { ...description.bound(host), ...(script && { script_sha256: await script.sha256() }) }
  const { id: vmId, address, port, login } = host
  const digest = boundDigest({ user, os_user: osUser, host: { vmId, address, port, login }, operation, words, shell_text: shellText, ...bound })
  const mask = new Mask(secrets, config.settings.secretPatterns)
  const shown = (text: string, most: number): string => cut(mask.mask(text), most)
  const told = { command: shown(commandOf(description), MOST_COMMAND), details: shown(detailsOf(bound), MOST_DETAILS) }
  return { user, osUser, vmId, operation, ...told, rule: number, approvers: rule.approvers, digest }
}

/** Characters; the file of a request is bounded. */
const MOST_COMMAND = 4096
const MOST_DETAILS = 1024

const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…[cut]` : text)

function commandOf({ operation, command, fields: { local, remote, user_key: userKey } }: Description): string {
  if (command !== undefined) return command
  if (local === undefined || remote === undefined) return userKey ?? ''
  return operation === 'upload' ? `${local} -> ${remote}` : `${remote} -> ${local}`
}

/** `sudo root, cwd /srv, env A B`: names of variables without their values. */
function detailsOf(bound: Readonly<Record<string, Bound>>): string {
  const set = Object.entries(bound).filter(([, value]) => value !== undefined && value !== null && value !== false)
  return set.map(([name, value]) => `${name}${value === true ? '' : ` ${detailText(name, value)}`}`).join(', ')
}

function detailText(name: string, value: Bound): string {
  if (name === 'env' && typeof value === 'object' && value !== null) return Object.keys(value).join(' ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
