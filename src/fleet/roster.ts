import type { Config, HostConfig } from '../config/types.ts'
import { remexError } from '../core/errors.ts'
import { resolveTargets, selectTargets, type Selection, type TargetHost } from '../core/targets.ts'

/** The usable hosts that a target expression selects. Throws as `selectTargets` does. */
export function selectHosts(config: Config, expression: string | readonly string[]): Selection {
  return selectTargets(expression, targetHosts(config))
}

/** Whether a target expression selects the host, usable or not. Throws for one that means nothing. */
export function matchesTarget(config: Config, vmId: string, expression: string): boolean {
  return resolveTargets(expression, targetHosts(config)).has(vmId)
}

/** The hosts of a configuration as target expressions see them. */
export function targetHosts(config: Config): TargetHost[] {
  return [...config.hosts.values()].map((host) => ({ id: host.id, role: host.role, groups: host.groups, state: stateOf(config, host) }))
}

/** The host, if it may be used. Throws `HOST_UNKNOWN` or `HOST_NOT_ALLOWED`. */
export function usableHost(config: Config, vmId: string): HostConfig {
  const host = config.hosts.get(vmId)
  if (host && stateOf(config, host) === 'usable') return host
  if (!host) throw remexError('HOST_UNKNOWN', `no host ${JSON.stringify(vmId)} is in the configuration`, { vmId })
  const reason = host.enabled ? 'not in allowed_vm_ids' : 'disabled in the configuration'
  throw remexError('HOST_NOT_ALLOWED', `${vmId} may not be used: it is ${reason}`, { vmId })
}

/** allowed_vm_ids only narrows: a disabled host stays disabled. */
function stateOf({ settings }: Config, host: HostConfig): TargetHost['state'] {
  if (!host.enabled) return 'disabled'
  return settings.allowedVmIds?.includes(host.id) === false ? 'not_allowed' : 'usable'
}
