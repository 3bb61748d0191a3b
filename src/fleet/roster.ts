import { hostState, targetHosts } from '../config/target-hosts.ts'
import type { Config, HostConfig } from '../config/types.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { printable } from '../core/printable.ts'
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
  if (!host) throw unknown(config, vmId)
  const state = hostState(config, host)
  if (state === 'usable') return host
  const reason = state === 'disabled' ? 'disabled in the configuration' : 'not in allowed_vm_ids'
  throw remexError('HOST_NOT_ALLOWED', `${vmId} may not be used: it is ${reason}`, { vmId })
}

function unknown({ hosts }: Config, vmId: string): RemexError {
  const meant = nearest(vmId, hosts.keys())
  const hint = meant === undefined ? undefined : `Did you mean ${printable(meant)}? See which there are: remex hosts list`
  return remexError('HOST_UNKNOWN', `${printable(vmId)}: no such host in the configuration`, { vmId, ...(hint === undefined ? {} : { hint }) })
}
