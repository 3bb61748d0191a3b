import { printable } from '../core/printable.ts'

/** One rule: who may do what where. Empty lists mean any, but for `speaksFor` and `approvers`. */
export interface Rule {
  readonly effect: 'allow' | 'deny' | 'ask'
  /** Users of the operating system. */
  readonly users: readonly string[]
  /** Whom they may name as the one who asks, besides themselves; `*` is anybody. */
  readonly speaksFor: readonly string[] | '*'
  /** Target expressions. */
  readonly hosts: readonly string[]
  readonly operations: readonly string[]
  /** Word patterns: `*` is one word, a final `**` any number. */
  readonly commands: readonly (readonly string[])[]
  /** Whether shell text is allowed as such. */
  readonly shell: boolean
  /** Who may approve, where the effect is `ask`; empty: anybody but the one who asks. */
  readonly approvers: readonly string[]
  /** How long a request waits for its approval, and an approval for its use. */
  readonly expiresMs: number
}

/** What somebody wants to do on one host. */
export interface PolicyRequest {
  /** The audit identity, which is not proven. */
  readonly user: string
  /** The operating system's user, which is. Rules are about this one. */
  readonly osUser: string
  readonly vmId: string
  /** `run`, `script`, `upload`, `download`, or another operation by its name. */
  readonly operation: string
  /** The command as words; for a script its path and arguments. */
  readonly words?: readonly string[] | undefined
  /** The command as shell text. */
  readonly shellText?: string | undefined
  /** Whether the host is one of a target expression's. What it throws is passed on. */
  matchesHost(expression: string): boolean
}

/** What of a rule is about something else than the request. */
export type Mismatch = 'user' | 'operation' | 'command' | 'shell' | 'host' | 'speaks_for'

/** A rule that did not match, and the first reason. */
export interface PassedOver {
  /** Counted from 1. */
  readonly rule: number
  readonly because: Mismatch
}

/** What the policy says. */
export interface Decision {
  readonly effect: Rule['effect']
  /** The rule that decided, counted from 1 as people do; undefined: none did. */
  readonly rule: number | undefined
  /** For the message and the audit record. */
  readonly reason: string
  /** The rules before the one that decided; all of them where none did. */
  readonly passedOver: readonly PassedOver[]
}

/** Without a policy everything is allowed; with one the first rule that matches decides, and what no rule matches is denied. */
export function decide(policy: { readonly rules: readonly Rule[] } | undefined, request: PolicyRequest): Decision {
  if (policy === undefined) return { effect: 'allow', rule: undefined, reason: 'there is no policy', passedOver: [] }
  if (request.operation === 'run' && request.shellText === undefined && !request.words?.length) {
    return { effect: 'deny', rule: undefined, reason: 'there is no command to judge', passedOver: [] }
  }
  const passedOver: PassedOver[] = []
  for (const [index, rule] of policy.rules.entries()) {
    const because = mismatch(rule, request)
    if (because === undefined) return { ...saidBy(rule, request, index + 1), rule: index + 1, passedOver }
    passedOver.push({ rule: index + 1, because })
  }
  return { effect: 'deny', rule: undefined, reason: `no rule of the policy ${lacking(request, passedOver)}`, passedOver }
}

/** Whether a rule lets the operating system's user ask for something there in the name of another. */
export function maySpeakFor(policy: { readonly rules: readonly Rule[] }, request: Pick<PolicyRequest, 'user' | 'osUser' | 'matchesHost'>): boolean {
  return policy.rules.some((rule) => rule.effect !== 'deny' && isAboutUser(rule, request) && speaksFor(rule, request) && isAboutHost(rule, request))
}

function saidBy(rule: Rule, request: PolicyRequest, number: number): Pick<Decision, 'effect' | 'reason'> {
  if (rule.effect !== 'ask') return { effect: rule.effect, reason: `rule ${number} ${rule.effect === 'allow' ? 'allows' : 'denies'} it` }
  // What the rule holds back must not slip past it to a later one, and what it does not allow must not be approved.
  if (isForbiddenShell(rule, request)) return { effect: 'deny', reason: `rule ${number} asks for an approval, but not of shell text` }
  if (!speaksFor(rule, request)) return { effect: 'deny', reason: `rule ${number} asks for an approval, and does not let ${speech(request)}` }
  return { effect: 'ask', reason: `rule ${number} asks for an approval` }
}

const isForbiddenShell = (rule: Rule, { shellText }: PolicyRequest): boolean => shellText !== undefined && !rule.shell

const speech = ({ user, osUser }: Pick<PolicyRequest, 'user' | 'osUser'>): string => `${printable(osUser)} speak for ${printable(user)}`

function lacking({ user, osUser }: PolicyRequest, passedOver: readonly PassedOver[]): string {
  if (passedOver.some(({ because }) => because === 'speaks_for')) return `lets ${speech({ user, osUser })}`
  const whoCounts = `rules are about the operating system's user ${printable(osUser)}, not about ${printable(user)}`
  return `allows it${user === osUser ? '' : ` (${whoCounts})`}`
}

/** What is asked last is what a reader of the rule would call the reason. */
function mismatch(rule: Rule, request: PolicyRequest): Mismatch | undefined {
  if (!isAboutUser(rule, request)) return 'user'
  if (!isAboutOperation(rule, request)) return 'operation'
  if (isCommand(request) && !isAboutCommand(rule, request)) return request.shellText === undefined ? 'command' : 'shell'
  if (!isAboutHost(rule, request)) return 'host'
  return speaksFor(rule, request) || isAboutAnyName(rule) ? undefined : 'speaks_for'
}

/** Who is denied something cannot have it by another name, neither by one's own nor by the one that is given. */
function isAboutUser({ users, effect }: Rule, { user, osUser }: Pick<PolicyRequest, 'user' | 'osUser'>): boolean {
  return users.length === 0 || users.includes(osUser) || (effect === 'deny' && users.includes(user))
}

function speaksFor(rule: Rule, { user, osUser }: Pick<PolicyRequest, 'user' | 'osUser'>): boolean {
  return user === osUser || rule.effect === 'deny' || rule.speaksFor === '*' || rule.speaksFor.includes(user)
}

/** What is held back from a user is so under every name, unless the rule itself is about names. */
const isAboutAnyName = ({ effect, speaksFor: names }: Rule): boolean => effect === 'ask' && names.length === 0

function isAboutHost({ hosts }: Rule, request: Pick<PolicyRequest, 'matchesHost'>): boolean {
  return hosts.length === 0 || hosts.some((expression) => request.matchesHost(expression))
}

const isCommand = ({ operation }: PolicyRequest): boolean => operation === 'run' || operation === 'script'

function isAboutOperation({ operations, commands }: Rule, request: PolicyRequest): boolean {
  if (operations.length > 0) return operations.includes(request.operation)
  // Commands say nothing about files; where nothing else is named, the rule is about commands alone.
  return isCommand(request) || commands.length === 0
}

function isAboutCommand(rule: Rule, { words, shellText }: PolicyRequest): boolean {
  // A rule that holds back, and names no commands, holds back shell text as well; only to be allowed it must be named.
  if (shellText !== undefined) return rule.shell || (rule.effect !== 'allow' && rule.commands.length === 0)
  return rule.commands.length === 0 || (words !== undefined && rule.commands.some((pattern) => matchesPattern(pattern, words)))
}

/** `*` is exactly one word, whatever it is; a final `**` is any number of words, also none; all else is itself. */
function matchesPattern(pattern: readonly string[], words: readonly string[]): boolean {
  const isOpen = pattern.at(-1) === '**'
  const fixed = isOpen ? pattern.slice(0, -1) : pattern
  if (isOpen ? words.length < fixed.length : words.length !== fixed.length) return false
  return fixed.every((word, index) => word === '*' || word === words[index])
}
