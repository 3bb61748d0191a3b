import { printable } from '../core/printable.ts'

/** Somebody by both names: the one that was given, and the operating system's, which is proven. */
export interface Person {
  readonly user: string
  readonly osUser: string
}

/** What the policy says of who approves. */
export interface ApproverRules {
  /** Who may; empty: anybody. */
  readonly approvers: readonly string[]
  /** Whether a rule lets the approver's user of the operating system speak for the name that was given. */
  readonly maySpeak: boolean
}

/**
 * Why `approver` is not the second person for what `asker` wants to do; undefined for one who is. Both are to differ in both names.
 * An account that speaks for several people has only one user of the operating system: then the names that it may give count.
 */
export function whyNotSecond(asker: Person, approver: Person, { approvers, maySpeak }: ApproverRules): string | undefined {
  const { user, osUser } = approver
  if (user !== osUser && !maySpeak) return `no rule of the policy lets ${printable(osUser)} speak for ${printable(user)}`
  if (user === asker.user || user === asker.osUser) return `${printable(user)} is who asks`
  if (osUser === asker.user && osUser !== asker.osUser) return `${printable(osUser)} is who asks`
  if (approvers.length > 0 && !approvers.includes(user)) return `${printable(user)} is not among the approvers of the rule`
  return undefined
}
