import { parseDocument, Scalar, visit, type Document } from 'yaml'
import { expandHostPattern } from './ansible-range.ts'
import { Inventory, inventoryInvalid, UNUSABLE, type InventoryGroup } from './ansible-inventory.ts'
import type { LeftOut, Notices, SourceFile } from './imported.ts'

/** Values that a file may share by `*alias`; bounds what a small file can grow to. */
const MOST_ALIASES = 10_000
/** Groups and hosts that may be looked at, each time counted: shared by aliases, few can be very many. */
const MOST_VISITS = 100_000
const DEEPEST = 100

interface Reading {
  readonly inventory: Inventory
  readonly notices: Notices
  readonly leftOut: LeftOut[]
  visits: number
}

type YamlMap = ReadonlyMap<unknown, unknown>

/**
 * The data of a YAML file of Ansible: maps as `Map`, and `UNUSABLE` for what has a tag that is not known (`!vault`). YAML 1.1,
 * as Ansible has it. Throws `CONFIG_INVALID`, never with text of the file, which may be secret.
 */
export function parseAnsibleYaml({ path, text }: SourceFile): unknown {
  try {
    const document = parseDocument(text, { version: '1.1', merge: true, prettyErrors: false, logLevel: 'silent', uniqueKeys: false })
    const [error] = document.errors
    if (error) throw inventoryInvalid(path, `not valid YAML (${error.code})`)
    replaceTagged(document)
    return document.toJS({ maxAliasCount: MOST_ALIASES, mapAsMap: true })
  } catch (error) {
    if (error instanceof RangeError) throw inventoryInvalid(path, 'it is nested too deeply')
    if (error instanceof ReferenceError) throw inventoryInvalid(path, 'an alias in it has no anchor, or it has too many aliases')
    if (error instanceof Error && 'code' in error && error.code === 'CONFIG_INVALID') throw error
    throw inventoryInvalid(path, 'not valid YAML: "<<" wants a map, or a list of maps, of the same file')
  }
}

/** `!unsafe` only says that a text is no template. */
function replaceTagged(document: Document): void {
  visit(document, {
    Node: (_, node) => {
      const tag = 'tag' in node ? node.tag : undefined
      return tag === undefined || tag === '!unsafe' || tag.startsWith('tag:yaml.org,2002:') ? undefined : new Scalar(UNUSABLE)
    },
  })
}

/** Whether the text is a YAML map, by which Ansible tells it from an INI inventory. */
export function isYamlMap(file: SourceFile): boolean {
  try {
    return parseAnsibleYaml(file) instanceof Map
  } catch {
    return false
  }
}

/** An inventory in Ansible's YAML form. Throws `CONFIG_INVALID`. */
export function parseYamlInventory(file: SourceFile, notices: Notices): { readonly inventory: Inventory; readonly leftOut: readonly LeftOut[] } {
  const data = parseAnsibleYaml(file)
  if (!(data instanceof Map)) throw inventoryInvalid(file.path, 'expected a map of groups, such as all: {hosts: …}')
  if (data.has('plugin')) throw inventoryInvalid(file.path, 'it configures an inventory plugin, which is not run; ansible-inventory --list --yaml writes an inventory of it')
  const reading: Reading = { inventory: new Inventory(file.path), notices, leftOut: [], visits: 0 }
  for (const [name, group] of data as YamlMap) readGroup(name, group, { parent: undefined, depth: 0 }, reading)
  reading.inventory.checkGroups()
  return { inventory: reading.inventory, leftOut: reading.leftOut }
}

interface Place {
  readonly parent: InventoryGroup | undefined
  readonly depth: number
}

function readGroup(name: unknown, data: unknown, { parent, depth }: Place, reading: Reading): void {
  visited(reading)
  const label = reading.inventory.label
  if (depth > DEEPEST) throw inventoryInvalid(label, `groups are nested more than ${DEEPEST} deep`)
  if (typeof name !== 'string' || !(data === null || data instanceof Map)) {
    reading.notices.add(`${label}: what is called ${String(name)} is no group and was left out`)
    return
  }
  const group = reading.inventory.group(name)
  if (parent) group.parents.add(parent)
  const map: YamlMap = data ?? new Map()
  for (const [key, value] of sectionOf(map, 'vars', name, reading)) if (typeof key === 'string') group.vars.set(key, value)
  for (const [child, value] of sectionOf(map, 'children', name, reading)) readGroup(child, value, { parent: group, depth: depth + 1 }, reading)
  for (const [pattern, vars] of sectionOf(map, 'hosts', name, reading)) readHosts(pattern, vars, group, reading)
}

function visited(reading: Reading): void {
  if (++reading.visits > MOST_VISITS) throw inventoryInvalid(reading.inventory.label, `more than ${MOST_VISITS} groups and hosts, by aliases of YAML`)
}

/** A text stands for a map with only that key. */
function sectionOf(map: YamlMap, key: string, group: string, { inventory }: Reading): YamlMap {
  const section = map.get(key)
  if (section === null || section === undefined) return new Map()
  if (typeof section === 'string') return new Map([[section, null]])
  if (section instanceof Map) return section as YamlMap
  throw inventoryInvalid(inventory.label, `"${key}" of the group ${group} is not a map`)
}

function readHosts(pattern: unknown, data: unknown, group: InventoryGroup, reading: Reading): void {
  if (typeof pattern !== 'string') {
    reading.leftOut.push({ name: String(pattern), reason: 'its name is not text; put it in quotes' })
    return
  }
  const { names, port } = expand(pattern, reading)
  const vars: YamlMap = data instanceof Map ? data : new Map()
  for (const name of names) {
    visited(reading)
    const host = reading.inventory.host(name, group)
    if (port !== undefined) host.vars.set('ansible_port', port)
    for (const [key, value] of vars) if (typeof key === 'string') host.vars.set(key, value)
  }
}

function expand(pattern: string, { inventory }: Reading): ReturnType<typeof expandHostPattern> {
  try {
    return expandHostPattern(pattern)
  } catch (error) {
    throw inventoryInvalid(inventory.label, `the host ${pattern}: ${error instanceof Error ? error.message : String(error)}`, error)
  }
}
