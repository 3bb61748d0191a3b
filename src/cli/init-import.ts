import { homedir, userInfo } from 'node:os'
import { dirname, resolve } from 'node:path'
import type { Imported, LeftOut } from '../config/import/imported.ts'
import { settle } from '../config/import/settle.ts'
import { configText } from '../config/import/write.ts'
import { expandHome } from '../config/paths.ts'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { isFile, readMatching, readSource, readVarsFiles } from './import-files.ts'

/** Where `remex init` takes hosts from. */
export interface ImportSource {
  readonly kind: 'ssh-config' | 'ansible'
  /** As it was given. */
  readonly path: string
}

/** A configuration made of another program's files. */
export interface ImportedConfig {
  readonly text: string
  /** How many hosts it has. */
  readonly hosts: number
  readonly leftOut: readonly LeftOut[]
  /** What else a person should know; may hold control characters. */
  readonly notices: readonly string[]
}

/** How many hosts the error names of which none can be taken over. */
const NAMED = 20

/**
 * `template` with the hosts of `source`. Throws `LOCAL_NOT_FOUND` and `PERMISSION_DENIED` for its files, and
 * `CONFIG_INVALID` where they cannot be read or have no host that can be taken over.
 */
export async function importConfig(source: ImportSource, template: string): Promise<ImportedConfig> {
  const found = await (source.kind === 'ansible' ? fromAnsible(source.path) : fromSshConfig(source.path))
  const { entries, leftOut } = settle(found.hosts)
  const all = [...found.leftOut, ...leftOut]
  if (entries.length === 0) throw nothingFound(source, all)
  return { text: configText(template, entries, source.path), hosts: entries.length, leftOut: all, notices: found.notices.lines() }
}

async function fromSshConfig(path: string): Promise<Imported> {
  const home = homedir()
  const { importSshConfig } = await import('../config/import/ssh-config.ts')
  return importSshConfig(await readSource(expandHome(path, home), path), { home, osUser: userInfo().username, include: readMatching, exists: isFile })
}

async function fromAnsible(path: string): Promise<Imported> {
  const at = resolve(expandHome(path, homedir()))
  const { importAnsible } = await import('../config/import/ansible.ts')
  return importAnsible(await readSource(at, path), { osUser: userInfo().username, varsFiles: (kind, names) => readVarsFiles(dirname(at), kind, names) })
}

function nothingFound({ kind, path }: ImportSource, leftOut: readonly LeftOut[]): Error {
  const shown = printable(path)
  const hint = kind === 'ansible' ? 'See what Ansible finds there: ansible-inventory --list' : 'A host is a name behind Host that has no "*", "?" or "!".'
  if (leftOut.length === 0) return remexError('CONFIG_INVALID', `${shown} has no hosts`, { hint })
  const lines = leftOut.slice(0, NAMED).map(({ name, reason }) => printable(`${name}: ${reason}`))
  const more = leftOut.length > NAMED ? [`and ${leftOut.length - NAMED} more`] : []
  return remexError('CONFIG_INVALID', [`${shown} has no host that can be taken over:`, ...lines, ...more].join('\n  '), { hint: 'Mend what is named there, or write the configuration by hand: remex init' })
}
