import type { TargetHost } from '../core/targets.ts'
import type { Config, HostConfig } from './types.ts'

/** The hosts of a configuration as target expressions see them. */
export function targetHosts(config: Pick<Config, 'hosts' | 'settings'>): TargetHost[] {
  return [...config.hosts.values()].map((host) => ({ id: host.id, role: host.role, groups: host.groups, state: hostState(config, host) }))
}

/** Whether a host may be used. `allowed_vm_ids` only narrows: a disabled host stays disabled. */
export function hostState({ settings }: Pick<Config, 'settings'>, { id, enabled }: HostConfig): TargetHost['state'] {
  if (!enabled) return 'disabled'
  return settings.allowedVmIds?.includes(id) === false ? 'not_allowed' : 'usable'
}
