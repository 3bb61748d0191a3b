import type { SshSurroundings } from '../../../src/config/import/ssh-config.ts'
import { importSshConfig } from '../../../src/config/import/ssh-config.ts'
import { importAnsible, type VarsFile } from '../../../src/config/import/ansible.ts'
import type { Imported } from '../../../src/config/import/imported.ts'
import { settle } from '../../../src/config/import/settle.ts'

/** What an import gave: the entries of `vms:`, and what was said of the rest. */
export interface Outcome {
  readonly vms: Readonly<Record<string, unknown>>
  readonly disabled: Readonly<Record<string, string>>
  readonly leftOut: Readonly<Record<string, string>>
  readonly notices: readonly string[]
}

/** What is around an ssh_config in a test: included files by path, and paths of files that exist. */
export interface SshPlace {
  readonly files?: Readonly<Record<string, string>>
  readonly keys?: readonly string[]
}

/** Imports an ssh_config of the user `operator`, whose home is `/home/operator`. */
export async function fromSshConfig(text: string, { files = {}, keys = [] }: SshPlace = {}): Promise<Outcome> {
  const around: SshSurroundings = {
    home: '/home/operator',
    osUser: 'operator',
    include: async (path) => Object.entries(files).filter(([name]) => name === path).map(([name, included]) => ({ path: name, text: included })),
    exists: async (path) => keys.includes(path),
  }
  return outcomeOf(await importSshConfig({ path: 'config', text }, around))
}

/** Imports an inventory; `vars` are the files beside it, by their path from there. */
export async function fromAnsible(text: string, vars: Readonly<Record<string, string>> = {}, path = 'hosts'): Promise<Outcome> {
  const varsFiles = async (kind: string, names: ReadonlySet<string>): Promise<readonly VarsFile[]> =>
    Object.entries(vars).flatMap(([file, content]) => {
      const name = file.split('/')[1]?.replace(/\.yml$/, '') ?? ''
      return file.startsWith(`${kind}/`) && names.has(name) ? [{ path: file, text: content, name }] : []
    })
  return outcomeOf(await importAnsible({ path, text }, { osUser: 'operator', varsFiles }))
}

function outcomeOf(imported: Imported): Outcome {
  const { entries, leftOut } = settle(imported.hosts)
  return {
    vms: Object.fromEntries(entries.map(({ id, vm }) => [id, vm])),
    disabled: Object.fromEntries(entries.flatMap(({ id, disabled }) => (disabled === undefined ? [] : [[id, disabled]]))),
    leftOut: Object.fromEntries([...imported.leftOut, ...leftOut].map(({ name, reason }) => [name, reason])),
    notices: imported.notices.lines(),
  }
}
