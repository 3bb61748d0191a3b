import type { Config } from '../config/types.ts'
import { targetHosts } from '../config/target-hosts.ts'
import { RemexError } from '../core/errors.ts'
import { resolveTargets } from '../core/targets.ts'
import { decide, type Decision, type PolicyRequest } from '../policy/decide.ts'
import { matchesTarget, usableHost } from './roster.ts'

/** Who wants to do what, wherever it is. */
export type Intention = Omit<PolicyRequest, 'vmId' | 'matchesHost'>

/** What the policy of a configuration says of one host. Throws for a rule whose hosts cannot be read. */
export function judge(config: Config, vmId: string, intention: Intention): Decision {
  return decide(config.policy, { ...intention, vmId, matchesHost: (expression) => matchesTarget(config, vmId, expression) })
}

/** What would be said of one host. */
export interface Judgement extends Decision {
  readonly vmId: string
}

/**
 * What would be said of the hosts that a target expression stands for, usable or not; asks nobody and writes nothing.
 * Throws `USAGE` and `HOST_UNKNOWN` for an expression that means nothing.
 */
export function judgeTargets(config: Config, targets: string, intention: Intention): readonly Judgement[] {
  const selected = resolveTargets(targets, targetHosts(config))
  return [...config.hosts.keys()].filter((id) => selected.has(id)).map((vmId) => ({ vmId, ...(unusable(config, vmId) ?? judge(config, vmId, intention)) }))
}

/** A host that may not be used is refused before the policy is asked. */
function unusable(config: Config, vmId: string): Decision | undefined {
  try {
    usableHost(config, vmId)
    return undefined
  } catch (error) {
    if (error instanceof RemexError) return { effect: 'deny', rule: undefined, reason: error.message, passedOver: [] }
    throw error
  }
}
