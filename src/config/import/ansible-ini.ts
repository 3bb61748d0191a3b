import { expandHostPattern, type HostPattern } from './ansible-range.ts'
import { Inventory, inventoryInvalid, type InventoryGroup } from './ansible-inventory.ts'
import type { SourceFile } from './imported.ts'
import { splitWords } from './words.ts'

/** What the lines under a section are. */
interface Section {
  readonly group: InventoryGroup
  readonly kind: 'hosts' | 'vars' | 'children'
}

interface Reading {
  readonly inventory: Inventory
  /** Groups that have a section of their own, other than of variables. */
  readonly declared: Set<string>
  /** Groups that are only spoken of, each with the line that does. */
  readonly spokenOf: Map<string, string>
}

/** An inventory in Ansible's INI form. Throws `CONFIG_INVALID` with the line of the first mistake. */
export function parseIniInventory({ path, text }: SourceFile): Inventory {
  const inventory = new Inventory(path)
  const reading: Reading = { inventory, declared: new Set(['all', 'ungrouped']), spokenOf: new Map() }
  let section: Section = { group: inventory.group('ungrouped'), kind: 'hosts' }
  for (const [index, whole] of text.split(/\r?\n/).entries()) {
    const line = whole.trim()
    const place = `${path}:${index + 1}`
    if (line === '' || /^[#;]/.test(line)) continue
    const begun = readSection(line, place, reading)
    if (begun) section = begun
    else readLine(line, place, { ...section, reading })
  }
  for (const [name, place] of reading.spokenOf) {
    if (!reading.declared.has(name)) throw inventoryInvalid(place, `there is no group ${name}`)
  }
  inventory.checkGroups()
  return inventory
}

/** Undefined where the line begins no section. */
function readSection(line: string, place: string, { inventory, declared, spokenOf }: Reading): Section | undefined {
  const [, name, kind = 'hosts'] = /^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$/.exec(line) ?? []
  // `[::1]:22` is a host.
  if (name === undefined && line.startsWith('[') && line.endsWith(']') && !/^\[[0-9A-Fa-f:.]+\]$/.test(line)) {
    throw inventoryInvalid(place, 'this is no section: [group], [group:vars] or [group:children]')
  }
  if (name === undefined) return undefined
  if (kind !== 'hosts' && kind !== 'vars' && kind !== 'children') throw inventoryInvalid(place, 'a section is [group], [group:vars] or [group:children]')
  if (kind === 'vars') spokenOf.set(name, place)
  else declared.add(name)
  return { group: inventory.group(name), kind }
}

function readLine(line: string, place: string, { group, kind, reading }: Section & { readonly reading: Reading }): void {
  if (kind === 'hosts') return readHost(line, place, { inventory: reading.inventory, group })
  if (kind === 'vars') {
    const equals = line.indexOf('=')
    if (equals === -1) throw inventoryInvalid(place, 'expected a variable: name=value')
    group.vars.set(line.slice(0, equals).trim(), readValue(line.slice(equals + 1).trim()))
    return
  }
  const [, child] = /^([^:\]\s]+)\s*(?:#.*)?$/.exec(line) ?? []
  if (child === undefined) throw inventoryInvalid(place, 'expected the name of a group')
  reading.inventory.group(child).parents.add(group)
  reading.spokenOf.set(child, place)
}

function readHost(line: string, place: string, { inventory, group }: { readonly inventory: Inventory; readonly group: InventoryGroup }): void {
  const [pattern = '', ...assignments] = splitWords(line, { comments: true }) ?? invalidQuotes(place)
  const { names, port } = expand(pattern, place)
  for (const name of names) {
    const { vars } = inventory.host(name, group)
    if (port !== undefined) vars.set('ansible_port', port)
    for (const assignment of assignments) {
      const equals = assignment.indexOf('=')
      if (equals === -1) throw inventoryInvalid(place, 'expected a host, and behind it only name=value')
      vars.set(assignment.slice(0, equals), readValue(assignment.slice(equals + 1)))
    }
  }
}

function invalidQuotes(place: string): never {
  throw inventoryInvalid(place, 'a quote is not closed')
}

function expand(pattern: string, place: string): HostPattern {
  try {
    return expandHostPattern(pattern)
  } catch (error) {
    throw inventoryInvalid(place, error instanceof Error ? error.message : String(error), error)
  }
}

/** Ansible reads a value as a literal of Python where it is one, and else as text. */
function readValue(text: string): unknown {
  const literal = text.replace(/\s+#.*$/, '')
  if (/^(?:True|False)$/.test(literal)) return literal === 'True'
  if (literal === 'None') return null
  if (/^[+-]?(?:0+|[1-9]\d{0,14})$/.test(literal)) return Number(literal)
  const [, single, double] = /^(?:'([^'\\]*)'|"([^"\\]*)")(?:\s*#.*)?$/.exec(text) ?? []
  return single ?? double ?? text
}
