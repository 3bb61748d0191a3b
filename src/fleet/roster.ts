import { hostState, targetHosts } from '../config/target-hosts.ts'
import type { Config, HostConfig } from '../config/types.ts'
import { remexError } from '../core/errors.ts'
import { resolveTargets, selectTargets, type Selection } from '../core/targets.ts'

/** The usable hosts that a target expression selects. Throws as `selectTargets` does. */
export function selectHosts(config: Config, expression: string | readonly string[]): Selection {
  return selectTargets(expression, targetHosts(config))
}

/** Whether a target expression selects the host, usable or not. Throws for one that means nothing. */
export function matchesTarget(config: Config, vmId: string, expression: string): boolean {
  return resolveTargets(expression, targetHosts(config)).has(vmId)
}

/** The host, if it may be used. Throws `HOST_UNKNOWN` or `HOST_NOT_ALLOWED`. */
export function usableHost(config: Config, vmId: string): HostConfig {
  const host = config.hosts.get(vmId)
  if (!host) throw remexError('HOST_UNKNOWN', `no host ${JSON.stringify(vmId)} is in the configuration`, { vmId })
  const state = hostState(config, host)
  if (state === 'usable') return host
  const reason = state === 'disabled' ? 'disabled in the configuration' : 'not in allowed_vm_ids'
  throw remexError('HOST_NOT_ALLOWED', `${vmId} may not be used: it is ${reason}`, { vmId })
}
