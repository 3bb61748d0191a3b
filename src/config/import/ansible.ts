import { hostOf } from './ansible-host.ts'
import { parseIniInventory } from './ansible-ini.ts'
import { inventoryInvalid, type FileVars, type Inventory, type Vars } from './ansible-inventory.ts'
import { isYamlMap, parseAnsibleYaml, parseYamlInventory } from './ansible-yaml.ts'
import { Notices, type Imported, type ImportedHost, type LeftOut, type SourceFile } from './imported.ts'

/** A directory of variables beside an inventory. */
export type VarsKind = 'group_vars' | 'host_vars'

/** A file of variables, and whose they are. */
export interface VarsFile extends SourceFile {
  readonly name: string
}

/** What an inventory is read with. */
export interface AnsibleSurroundings {
  /** The user who runs remex. */
  readonly osUser: string
  /** The files of variables of the groups or hosts of these names, in the order in which they count, the last most. */
  readonly varsFiles: (kind: VarsKind, names: ReadonlySet<string>) => Promise<readonly VarsFile[]>
}

/**
 * The hosts of an Ansible inventory in INI or YAML, with what its variables, and those of group_vars and host_vars beside it,
 * say of reaching them. Nothing is executed. Throws `CONFIG_INVALID` for what cannot be read, and for more than 10,000 hosts.
 */
export async function importAnsible(file: SourceFile, around: AnsibleSurroundings): Promise<Imported> {
  if (file.text.startsWith('#!')) throw inventoryInvalid(file.path, 'it is a program, which is not run; ansible-inventory --list --yaml writes an inventory of it')
  const notices = new Notices()
  const read = readInventory(file, notices)
  const files = await readVars(read.inventory, around, notices)
  const hosts: ImportedHost[] = []
  const leftOut: LeftOut[] = [...read.leftOut]
  for (const host of read.inventory.hosts.values()) {
    const groups = read.inventory.groupsOf(host).map(({ name }) => name)
    const found = hostOf({ host, vars: read.inventory.varsOf(host, files), groups, notices, osUser: around.osUser })
    if ('reason' in found) leftOut.push(found)
    else hosts.push(found)
  }
  return { hosts, leftOut, notices }
}

/** As Ansible decides: by the name, else by whether it is a YAML map. */
function readInventory(file: SourceFile, notices: Notices): { readonly inventory: Inventory; readonly leftOut: readonly LeftOut[] } {
  if (/\.(?:ya?ml|json)$/i.test(file.path) || isYamlMap(file)) return parseYamlInventory(file, notices)
  return { inventory: parseIniInventory(file), leftOut: [] }
}

async function readVars(inventory: Inventory, around: AnsibleSurroundings, notices: Notices): Promise<FileVars> {
  const known = {
    group_vars: byName(await around.varsFiles('group_vars', new Set(inventory.groups.keys())), notices),
    host_vars: byName(await around.varsFiles('host_vars', new Set(inventory.hosts.keys())), notices),
  }
  return (kind, name) => known[kind].get(name) ?? new Map()
}

function byName(files: readonly VarsFile[], notices: Notices): ReadonlyMap<string, Vars> {
  const known = new Map<string, Map<string, unknown>>()
  for (const file of files) {
    const vars = known.get(file.name) ?? new Map<string, unknown>()
    for (const [name, value] of readVarsFile(file, notices)) vars.set(name, value)
    known.set(file.name, vars)
  }
  return known
}

function readVarsFile(file: VarsFile, notices: Notices): Vars {
  if (file.text.startsWith('$ANSIBLE_VAULT')) {
    notices.add(`${file.path} is encrypted and was left out`)
    return new Map()
  }
  const data = parseAnsibleYaml(file) ?? null
  if (data === null) return new Map()
  if (!(data instanceof Map)) throw inventoryInvalid(file.path, 'expected a map of variables')
  return new Map([...(data as ReadonlyMap<unknown, unknown>)].map(([name, value]) => [String(name), value]))
}
