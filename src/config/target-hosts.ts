import type { TargetHost } from '../core/targets.ts'
import type { Config } from './types.ts'

/** The hosts of a configuration as target expressions see them. `allowed_vm_ids` only narrows: a disabled host stays disabled. */
export function targetHosts({ hosts, settings }: Pick<Config, 'hosts' | 'settings'>): TargetHost[] {
  const allowed = settings.allowedVmIds && new Set(settings.allowedVmIds)
  return [...hosts.values()].map(({ id, role, groups, enabled }) => {
    const usable = allowed === undefined || allowed.has(id) ? 'usable' : 'not_allowed'
    return { id, role, groups, state: enabled ? usable : 'disabled' }
  })
}
