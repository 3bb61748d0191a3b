import type { HostConfig } from '../../config/types.ts'
import { targetHosts } from '../../config/target-hosts.ts'
import { foldIds } from '../../core/fold.ts'
import { printable } from '../../core/printable.ts'
import { resolveTargets } from '../../core/targets.ts'
import { notice, printJson, withRemex, type Door } from '../door.ts'
import { tableLines } from '../table.ts'

/** `remex hosts list`: what the configuration says, whatever the state of the hosts. */
export async function listHosts(door: Door, targets: string | undefined): Promise<number> {
  return withRemex(door, async ({ config }) => {
    const known = targetHosts(config)
    const wanted = targets === undefined ? undefined : resolveTargets(targets, known)
    const states = new Map(known.map(({ id, state }) => [id, state]))
    const hosts = [...config.hosts.values()].filter(({ id }) => wanted?.has(id) ?? true)
    if (door.globals.json) for (const host of hosts) await printJson(door, jsonRow(host, states.get(host.id)))
    else {
      const rows = hosts.map((host) => textRow(host, states.get(host.id)))
      for (const line of tableLines(['HOST', 'ADDRESS', 'PORT', 'LOGIN', 'ROLE', 'GROUPS', 'STATE'], rows)) await door.stdout.line(line)
      if (hosts.length > 1) notice(door, printable(`${hosts.length} hosts: ${foldIds(hosts.map(({ id }) => id))}`))
    }
    return 0
  })
}

function jsonRow({ id, name, address, port, login, role, groups, enabled }: HostConfig, state: string | undefined): object {
  return { vm_id: id, name, address, port, login, role, groups, enabled, state }
}

function textRow({ id, address, port, login, role, groups }: HostConfig, state = ''): string[] {
  return [id, address, String(port), login, role || '-', groups.join(',') || '-', state.replace('_', ' ')]
}
