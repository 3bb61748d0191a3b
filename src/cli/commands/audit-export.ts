import { hostname } from 'node:os'
import type { ExportFormat } from '../../audit/export/format.ts'
import type { ExportFormatName } from '../../audit/export/formats.ts'
import type { ListFilter } from '../../audit/read/list.ts'
import type { Page } from '../../audit/read/scan.ts'
import { remexError } from '../../core/errors.ts'
import { filterOf, type FilterFlags } from '../audit-filter.ts'
import { withRemex, type Door } from '../door.ts'
import { packageVersion } from '../package-root.ts'
import { shown } from '../values.ts'

/** The options of `audit export`. */
export interface ExportFlags extends FilterFlags {
  readonly format?: ExportFormatName
  readonly follow?: true
}

/** `remex audit export`. */
export async function exportRecords(door: Door, { format: name = 'csv', follow, ...flags }: ExportFlags): Promise<number> {
  const filter = filterOf(door, flags)
  refuseTogether(door, { ...filter, follow })
  return withRemex(door, async ({ config }) => {
    const { EXPORT_FORMATS } = await import('../../audit/export/formats.ts')
    const format = EXPORT_FORMATS[name]({ machine: hostname(), version: packageVersion() })
    await print(door, format, await pagesOf(door, config.settings.auditPath, { ...filter, follow }))
    return 0
  })
}

/** A format of `audit export`. Throws `USAGE`. */
export function formatName(text: string): ExportFormatName {
  if (text === 'csv' || text === 'ocsf' || text === 'syslog') return text
  throw remexError('USAGE', `--format: ${shown(text)} is none of csv, ocsf and syslog`)
}

type Wanted = ListFilter & { readonly follow: true | undefined }

function refuseTogether({ globals }: Door, { follow, limit, until }: Wanted): void {
  if (globals.json) throw remexError('USAGE', '--json and audit export cannot be used together', { hint: 'The records themselves: remex audit list --json; as events: remex audit export --format ocsf' })
  const other = limit !== undefined ? '--limit' : until ? '--until' : undefined
  if (follow && other) throw remexError('USAGE', `--follow and ${other} cannot be used together`, { hint: 'What is written later has no end; --since and --since-seq say where it begins.' })
}

async function pagesOf(door: Door, directory: string, { follow, ...filter }: Wanted): Promise<AsyncIterable<Page>> {
  if (!follow) return (await import('../../audit/read/list.ts')).listAuditPages(directory, filter)
  return (await import('../../audit/read/follow.ts')).followAudit(directory, filter, door.stop.signal)
}

async function print(door: Door, { head, text }: ExportFormat, pages: AsyncIterable<Page>): Promise<void> {
  await door.stdout.write(head)
  for await (const page of pages) {
    if (door.stop.signal.aborted) return
    await door.stdout.write(page.map(text).join(''))
  }
}
