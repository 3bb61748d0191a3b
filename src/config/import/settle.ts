import { checkConfig } from '../check.ts'
import type { Problem } from '../problems.ts'
import type { Hop, ImportedHost, LeftOut } from './imported.ts'

/** One entry of `vms:` to be written. */
export interface Entry {
  readonly id: string
  /** In the order in which the keys are written. */
  readonly vm: Readonly<Record<string, unknown>>
  /** Why it is not enabled; undefined: it is. */
  readonly disabled: string | undefined
}

/** Hosts that our own check accepts, together. */
export interface Settled {
  readonly entries: readonly Entry[]
  readonly leftOut: readonly LeftOut[]
}

/**
 * The hosts as entries that `remex config check` accepts. One whose id, address, port or login it refuses is left out. One
 * whose jump it refuses is kept but not enabled: without its jump, something else may answer at its address.
 */
export function settle(hosts: readonly ImportedHost[]): Settled {
  const leftOut: LeftOut[] = []
  // Ends, for every round that finds a problem leaves a host out or takes a jump away.
  for (let kept = hosts; ; ) {
    const ids = new Set(kept.map(({ id }) => id))
    const entries = kept.map((host) => entryOf(host, ids))
    const problems = problemsByHost(entries)
    if (problems.size === 0) return { entries, leftOut }
    kept = kept.flatMap((host) => {
      const problem = problems.get(host.id)
      if (!problem) return [host]
      if (problem.path[2] === 'jump' && host.jump.length > 0) return [{ ...host, jump: [], disabled: `jump: ${problem.what}` }]
      leftOut.push({ name: host.id, reason: reasonOf(problem) })
      return []
    })
  }
}

function entryOf(host: ImportedHost, ids: ReadonlySet<string>): Entry {
  const vm = {
    ip: host.address,
    ssh_port: host.port,
    ssh_user: host.login,
    enabled: host.disabled === undefined ? undefined : false,
    groups: host.groups.length > 0 ? host.groups : undefined,
    identity_file: host.identityFile,
    ssh_config: host.sshConfig,
    jump: host.jump.length > 0 ? host.jump.map((hop) => hopText(hop, ids)).join(',') : undefined,
    sudo: host.sudo,
  }
  return { id: host.id, vm: Object.fromEntries(Object.entries(vm).filter(([, value]) => value !== undefined)), disabled: host.disabled }
}

/** An empty text is refused by the check, which then says so. */
function hopText({ id, address }: Hop, ids: ReadonlySet<string>): string {
  return id !== undefined && ids.has(id) ? id : (address ?? '')
}

/** The problem of each host that decides: the first that is not about its jump, for then the host is left out. */
function problemsByHost(entries: readonly Entry[]): ReadonlyMap<string, Problem> {
  if (entries.length === 0) return new Map()
  const found = checkConfig({ vms: Object.fromEntries(entries.map(({ id, vm }) => [id, vm])) })
  const problems = 'problems' in found ? found.problems : []
  // In a map the last of a key counts.
  const jumpsFirst = problems.toReversed().toSorted((one, other) => rank(one) - rank(other))
  return new Map(jumpsFirst.map((problem) => [String(problem.path[1]), problem]))
}

const rank = ({ path }: Problem): number => (path[2] === 'jump' ? 0 : 1)

function reasonOf({ path, what }: Problem): string {
  const key = path[2]
  return key === undefined ? what : `${String(key)}: ${what}`
}
