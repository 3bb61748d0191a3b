import { remexError, type RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { MOST_HOSTS } from './imported.ts'

/** Variables by name. A map, for a name may be `__proto__`. */
export type Vars = ReadonlyMap<string, unknown>

/** A group of an inventory. */
export interface InventoryGroup {
  readonly name: string
  readonly vars: Map<string, unknown>
  readonly parents: Set<InventoryGroup>
}

/** A host of an inventory. */
export interface InventoryHost {
  readonly name: string
  readonly vars: Map<string, unknown>
  /** Those that name it themselves. */
  readonly groups: Set<InventoryGroup>
}

/** Variables of a group or a host that stand in files beside the inventory. */
export type FileVars = (kind: 'group_vars' | 'host_vars', name: string) => Vars

/** Groups nested deeper than this are a mistake. */
const DEEPEST = 100
const MOST_GROUPS = 10_000

/** What stands in the place of a value that cannot be used: encrypted, or of an unknown kind. */
export const UNUSABLE: unique symbol = Symbol('unusable')

/** The groups and hosts of an inventory, as they are read. */
export class Inventory {
  readonly hosts = new Map<string, InventoryHost>()
  readonly groups = new Map<string, InventoryGroup>()
  readonly label: string
  readonly #depths = new Map<InventoryGroup, number>()

  constructor(label: string) {
    this.label = label
    this.group('all')
  }

  /** The group of this name, made where it is not there. */
  group(name: string): InventoryGroup {
    const group = this.groups.get(name) ?? { name, vars: new Map(), parents: new Set() }
    if (this.groups.size >= MOST_GROUPS) throw inventoryInvalid(this.label, `more than ${MOST_GROUPS} groups`)
    this.groups.set(name, group)
    return group
  }

  /** The host of this name in `group`, made where it is not there. */
  host(name: string, group: InventoryGroup): InventoryHost {
    const host = this.hosts.get(name) ?? { name, vars: new Map(), groups: new Set() }
    if (this.hosts.size >= MOST_HOSTS && !this.hosts.has(name)) throw inventoryInvalid(this.label, `more than ${MOST_HOSTS} hosts`)
    host.groups.add(group)
    this.hosts.set(name, host)
    return host
  }

  /** All groups of the host, also those above; the order is that in which their variables count, the last most. Without `all`. */
  groupsOf(host: InventoryHost): readonly InventoryGroup[] {
    const found = new Set(host.groups)
    // A set that grows while it is read is read to its end.
    for (const group of found) for (const parent of group.parents) found.add(parent)
    const named = [...found].filter(({ name }) => name !== 'all' && name !== 'ungrouped')
    if (named.length === 0) return [this.group('ungrouped')]
    const ranked = named.map((group) => ({ group, depth: this.#depth(group), priority: priority(group) }))
    return ranked.sort((one, other) => one.depth - other.depth || one.priority - other.priority || (one.group.name < other.group.name ? -1 : 1)).map(({ group }) => group)
  }

  /** What counts for the host: what stands in files beside the inventory before the inventory, and hosts before groups. */
  varsOf(host: InventoryHost, files: FileVars): Vars {
    const groups = this.groupsOf(host)
    return merged([
      this.group('all').vars,
      ...groups.map(({ vars }) => vars),
      files('group_vars', 'all'),
      ...groups.map(({ name }) => files('group_vars', name)),
      host.vars,
      files('host_vars', host.name),
    ])
  }

  /** Throws `CONFIG_INVALID` where a group is above itself. */
  checkGroups(): void {
    for (const group of this.groups.values()) this.#depth(group)
  }

  /** The longest way from the top. Below `all` is every group, whether it says so or not. */
  #depth(group: InventoryGroup, below = new Set<InventoryGroup>()): number {
    const known = this.#depths.get(group)
    if (known !== undefined) return known
    if (below.has(group)) throw inventoryInvalid(this.label, `the group ${group.name} is a child of itself`)
    below.add(group)
    // Before it is known how far it is up, the way that was gone bounds it.
    const depth = below.size > DEEPEST ? below.size : [...group.parents].filter(({ name }) => name !== 'all').reduce((deepest, parent) => Math.max(deepest, this.#depth(parent, below) + 1), 0)
    if (depth > DEEPEST) throw inventoryInvalid(this.label, `groups are nested more than ${DEEPEST} deep`)
    below.delete(group)
    this.#depths.set(group, depth)
    return depth
  }
}

/** Between groups of the same depth. */
function priority({ vars }: InventoryGroup): number {
  const value = Number(vars.get('ansible_group_priority') ?? 1)
  return Number.isFinite(value) ? value : 1
}

function merged(layers: readonly Vars[]): Vars {
  return new Map(layers.flatMap((layer) => [...layer]))
}

/** `CONFIG_INVALID` about an inventory; `place` is a file, or a line of it. */
export function inventoryInvalid(place: string, what: string, cause?: unknown): RemexError {
  const hint = 'Mend the inventory; ansible-inventory --list reads the same file.'
  return remexError('CONFIG_INVALID', `${printable(place)}: ${printable(what)}`, { hint, cause })
}
