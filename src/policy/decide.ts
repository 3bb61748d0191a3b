import { printable } from '../core/printable.ts'

/** One rule: who may do what where. Empty lists mean any. */
export interface Rule {
  readonly effect: 'allow' | 'deny' | 'ask'
  readonly users: readonly string[]
  /** Target expressions. */
  readonly hosts: readonly string[]
  readonly operations: readonly string[]
  /** Word patterns: `*` is one word, a final `**` any number. */
  readonly commands: readonly (readonly string[])[]
  /** Whether shell text is allowed as such. */
  readonly shell: boolean
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

/** What the policy says. */
export interface Decision {
  readonly effect: 'allow' | 'deny'
  /** The rule that decided, counted from 1 as people do; undefined: none did. */
  readonly rule: number | undefined
  /** For the message and the audit record. */
  readonly reason: string
}

/**
 * Whether `request` is allowed. Without a policy everything is; with one the first rule that matches decides, and
 * what no rule matches is denied. A rule with `ask` denies: there are no approvals in this version.
 */
export function decide(policy: { readonly rules: readonly Rule[] } | undefined, request: PolicyRequest): Decision {
  if (policy === undefined) return { effect: 'allow', rule: undefined, reason: 'there is no policy' }
  const as = request.user === request.osUser ? '' : ` (${whoCounts(request)})`
  if (request.operation === 'run' && request.shellText === undefined && !request.words?.length) {
    return { effect: 'deny', rule: undefined, reason: `there is no command to judge${as}` }
  }
  const index = policy.rules.findIndex((rule) => matches(rule, request))
  const found = policy.rules[index]
  if (!found) return { effect: 'deny', rule: undefined, reason: `no rule of the policy allows it${as}` }
  return { effect: found.effect === 'allow' ? 'allow' : 'deny', rule: index + 1, reason: `rule ${index + 1} ${VERBS[found.effect]}${as}` }
}

const whoCounts = ({ user, osUser }: PolicyRequest): string =>
  `rules are about the operating system's user ${printable(osUser)}, not about ${printable(user)}`

const VERBS = { allow: 'allows it', deny: 'denies it', ask: 'asks for an approval, which is not available in this version' } as const

function matches(rule: Rule, request: PolicyRequest): boolean {
  return (
    (rule.users.length === 0 || rule.users.includes(request.osUser)) &&
    matchesOperation(rule, request) &&
    (rule.hosts.length === 0 || rule.hosts.some((expression) => request.matchesHost(expression)))
  )
}

function matchesOperation(rule: Rule, request: PolicyRequest): boolean {
  const { operation } = request
  const isCommand = operation === 'run' || operation === 'script'
  if (rule.operations.length > 0 && !rule.operations.includes(operation)) return false
  // Commands say nothing about files; where nothing else is named, the rule is about commands alone.
  if (!isCommand) return rule.operations.length > 0 || rule.commands.length === 0
  return matchesCommand(rule, request)
}

function matchesCommand(rule: Rule, { words, shellText }: PolicyRequest): boolean {
  // A rule that refuses, and names no commands, refuses shell text as well; only to be allowed it must be named.
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
