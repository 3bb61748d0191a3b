import { Document, isSeq } from 'yaml'
import { printable } from '../../core/printable.ts'
import { checkConfig } from '../check.ts'
import { parseYaml } from '../document.ts'
import { configInvalid } from '../problems.ts'
import type { Entry } from './settle.ts'

/**
 * `template`, a configuration with comments, with `entries` in place of the hosts under its `vms:`; `source` says in a
 * comment where they are from. Throws `CONFIG_INVALID` where the result would be refused.
 */
export function configText(template: string, entries: readonly Entry[], source: string): string {
  const lines = template.split('\n')
  const begin = lines.indexOf('vms:')
  if (begin === -1) throw new Error('the template has no section "vms"')
  const length = lines.slice(begin + 1).findIndex((line) => /^\S/.test(line))
  const end = length === -1 ? lines.length : begin + 1 + length
  const head = [...lines.slice(0, begin), `# From ${printable(source)}.`, 'vms:']
  const text = [...head, ...entries.map(entryText), ...lines.slice(end)].join('\n')
  refuseWrong(text)
  return text
}

/** Ends with an empty line. */
function entryText({ id, vm, disabled }: Entry): string {
  // Quoted, `on` and `no` stay text for whoever reads the file by YAML 1.1.
  const document = new Document({ [id]: vm }, { compat: 'yaml-1.1', aliasDuplicateObjects: false })
  const groups = document.getIn([id, 'groups'])
  if (isSeq(groups)) groups.flow = true
  const yaml = document.toString({ lineWidth: 0, flowCollectionPadding: false })
  const comment = disabled === undefined ? '' : `  # Not enabled: ${printable(disabled)}\n`
  return comment + yaml.replace(/^(?=.)/gm, '  ')
}

function refuseWrong(text: string): void {
  const { data, problems, locate } = parseYaml(text, 'what was to be written')
  const found = checkConfig(data)
  const all = [...problems, ...('problems' in found ? found.problems : [])]
  if (all.length > 0) throw configInvalid('what was to be written', all, locate)
}
