import { lstat, open, readFile, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'
import { errorCode, localFileError, makeDirectories } from '../../core/atomic-file.ts'
import { remexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { quoteWord } from '../../core/quote.ts'
import { notice, printJson, type Door, type Start } from '../door.ts'
import type { ImportedConfig, ImportSource } from '../init-import.ts'
import { packageRoot, programName } from '../package-root.ts'

interface InitFlags {
  /** True: without a path. */
  readonly fromSshConfig?: string | true
  readonly fromAnsible?: string
}

/** `remex init`. */
export function defineInit(command: Command, start: Start): void {
  command
    .description('Writes a commented configuration file to begin with: configs/config.yml, or the one of --config. One that is there is kept.')
    .option('--from-ssh-config [path]', 'with the hosts of an ssh_config (default: ~/.ssh/config)')
    .option('--from-ansible <inventory>', 'with the hosts of an Ansible inventory, INI or YAML')
    .addHelpText('after', EXAMPLES)
    .action((flags: InitFlags) => start(command, (door) => init(door, flags)))
}

async function init(door: Door, flags: InitFlags): Promise<number> {
  const source = sourceOf(flags)
  const path = door.globals.config ?? join('configs', 'config.yml')
  const template = await readFile(join(packageRoot(), 'configs', 'config.example.yml'), 'utf8')
  // Looked for first: what is kept needs no hosts. The file is made so that it replaces nothing all the same.
  const imported = source && !(await isThere(path)) ? await importFrom(source, template) : undefined
  const created = await writeNew(path, imported?.text ?? template).catch((error: unknown) => {
    throw localFileError(error, path)
  })
  const told = created ? imported : undefined
  tellImport(door, told)
  if (door.globals.json) await printJson(door, { path, created, ...(source && { hosts: told?.hosts ?? 0, left_out: told?.leftOut ?? [] }) })
  else await door.stdout.line(created ? writtenText(door, path, { source, imported }) : `${printable(path)} is there already and was kept as it is`)
  return 0
}

/** Undefined: the hosts of the example. */
function sourceOf({ fromSshConfig, fromAnsible }: InitFlags): ImportSource | undefined {
  if (fromSshConfig !== undefined && fromAnsible !== undefined) throw remexError('USAGE', '--from-ssh-config and --from-ansible: give one of the two')
  if (fromSshConfig === '' || fromAnsible === '') throw remexError('USAGE', `${fromAnsible === '' ? '--from-ansible' : '--from-ssh-config'} is empty`)
  if (fromAnsible !== undefined) return { kind: 'ansible', path: fromAnsible }
  return fromSshConfig === undefined ? undefined : { kind: 'ssh-config', path: fromSshConfig === true ? '~/.ssh/config' : fromSshConfig }
}

async function importFrom(source: ImportSource, template: string): Promise<ImportedConfig> {
  // Only here: it brings the parsers, which a plain init does without.
  const { importConfig } = await import('../init-import.ts')
  return importConfig(source, template)
}

/** Also a link that leads nowhere. */
async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(() => true, () => false)
}

function tellImport(door: Door, imported: ImportedConfig | undefined): void {
  for (const { name, reason } of imported?.leftOut ?? []) notice(door, printable(`${name} is left out: ${reason}`))
  for (const line of imported?.notices ?? []) notice(door, printable(line))
}

function writtenText(door: Door, path: string, { source, imported }: { source: ImportSource | undefined; imported: ImportedConfig | undefined }): string {
  const remex = programName() + (door.globals.config === undefined ? '' : ` --config ${printable(quoteWord(path))}`)
  const wrote = `wrote ${printable(path)}`
  if (!source || !imported) return `${wrote}\nNext: enter your hosts there, then\n  ${remex} config check\n  ${remex} keys setup all\n  ${remex} run all -- uptime`
  const { hosts, leftOut } = imported
  const left = leftOut.length === 0 ? '' : `, ${leftOut.length} left out`
  const counts = `${hosts} ${hosts === 1 ? 'host' : 'hosts'} of ${printable(source.path)}${left}`
  return `${wrote} with ${counts}\nNext:\n  ${remex} config check\n  ${remex} keys setup all\n  ${remex} run all -- uptime`
}

/** Whether it was made; false where something is there already. The configuration tells where everything is, so it is for its owner alone. */
async function writeNew(path: string, text: string): Promise<boolean> {
  await makeDirectories(dirname(path), 0o700)
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    if (errorCode(error) === 'EEXIST') return undefined
    throw error
  })
  if (!file) return false
  try {
    await file.writeFile(text)
    await file.sync()
    return true
  } catch (error) {
    // Half a configuration must not stay, for the next init would keep it.
    await unlink(path).catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}

const EXAMPLES = `
Examples:
  remex init
  remex init --config ~/.config/remex/config.yml
  remex init --from-ssh-config
  remex init --from-ansible inventory/hosts.yml
`
