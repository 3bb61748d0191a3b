import { resolve } from 'node:path'
import { Document, isSeq } from 'yaml'
import { printable } from '../../core/printable.ts'
import { checkConfig } from '../check.ts'
import { parseYaml } from '../document.ts'
import { configInvalid } from '../problems.ts'
import type { Entry } from './settle.ts'

/**
 * `template`, a configuration with comments, with `entries` in place of the hosts under its `vms:`; `source` says in a
 * comment where they are from, and in `ssh_config_path` where entries with `ssh_config` are known. Throws `CONFIG_INVALID` where the
 * result would be refused.
 */
export function configText(template: string, entries: readonly Entry[], source: string): string {
  const lines = template.split('\n')
  const begin = lines.indexOf('vms:')
  if (begin === -1) throw new Error('the template has no section "vms"')
  const length = lines.slice(begin + 1).findIndex((line) => /^\S/.test(line))
  const end = length === -1 ? lines.length : begin + 1 + length
  const head = [...lines.slice(0, begin), `# From ${printable(source)}.`, 'vms:']
  const rest = withSshConfigPath(lines.slice(end), entries.some(({ vm }) => 'ssh_config' in vm) ? source : FOUND_BY_SSH)
  const text = [...head, ...entries.map(entryText), ...rest].join('\n')
  refuseWrong(text)
  return text
}

/** What ssh reads unasked. */
const FOUND_BY_SSH = '~/.ssh/config'

/** A relative path would begin wherever remex is started. */
function withSshConfigPath(lines: readonly string[], source: string): readonly string[] {
  if (source === FOUND_BY_SSH) return lines
  const place = lines.findIndex((line) => line.startsWith('  #ssh_config_path:'))
  if (place === -1) throw new Error('the template has no key "ssh_config_path"')
  const path = source.startsWith('~/') ? source : resolve(source)
  return lines.toSpliced(place, 1, `  ${yamlOf(documentOf({ ssh_config_path: path })).trimEnd()}`)
}

/** Ends with an empty line. */
function entryText({ id, vm, disabled }: Entry): string {
  const document = documentOf({ [id]: vm })
  const groups = document.getIn([id, 'groups'])
  if (isSeq(groups)) groups.flow = true
  const comment = disabled === undefined ? '' : `  # Not enabled: ${printable(disabled)}\n`
  return comment + yamlOf(document).replace(/^(?=.)/gm, '  ')
}

/** Quoted, `on` and `no` stay text for whoever reads the file by YAML 1.1. */
const documentOf = (data: unknown): Document => new Document(data, { compat: 'yaml-1.1', aliasDuplicateObjects: false })

const yamlOf = (document: Document): string => document.toString({ lineWidth: 0, flowCollectionPadding: false })

function refuseWrong(text: string): void {
  const { data, problems, locate } = parseYaml(text, 'what was to be written')
  const found = checkConfig(data)
  const all = [...problems, ...('problems' in found ? found.problems : [])]
  if (all.length > 0) throw configInvalid('what was to be written', all, locate)
}
