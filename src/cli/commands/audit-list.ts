import { outcomeWords, subjectWords } from '../../audit/read/record-words.ts'
import type { AuditRecord } from '../../audit/record.ts'
import type { Page } from '../../audit/read/scan.ts'
import { filterOf, type FilterFlags } from '../audit-filter.ts'
import { notice, withRemex, type Door } from '../door.ts'
import { tableLines } from '../table.ts'

const HEAD = ['SEQ', 'TIME', 'USER', 'HOST', 'EVENT', 'OPERATION', 'RESULT', 'WHAT']

/** So many rows, or a few more, are laid out together; the whole log need not fit into memory. */
const LEAST_ROWS = 500

/** `remex audit list`. */
export async function listRecords(door: Door, flags: FilterFlags): Promise<number> {
  const filter = filterOf(door, flags)
  return withRemex(door, async ({ config }) => {
    const { listAuditPages } = await import('../../audit/read/list.ts')
    const pages = listAuditPages(config.settings.auditPath, filter)
    if (door.globals.json) await printRows(door, pages)
    else await printTables(door, pages)
    return 0
  })
}

async function printRows(door: Door, pages: AsyncIterable<Page>): Promise<void> {
  for await (const page of pages) {
    if (door.stop.signal.aborted) return
    await door.stdout.write(page.map((record) => `${JSON.stringify(record)}\n`).join(''))
  }
}

async function printTables(door: Door, pages: AsyncIterable<Page>): Promise<void> {
  let rows: AuditRecord[] = []
  let tables = 0
  const print = async (): Promise<void> => {
    const lines = recordTable(rows)
    rows = []
    await door.stdout.write((tables++ === 0 ? lines : lines.slice(1)).map((line) => `${line}\n`).join(''))
  }
  for await (const page of pages) {
    if (door.stop.signal.aborted) return
    rows.push(...page)
    if (rows.length >= LEAST_ROWS) await print()
  }
  if (rows.length > 0) await print()
  else if (tables === 0) notice(door, 'no record of the audit log fits')
}

/** The records as rows under a head. */
export function recordTable(records: Page): readonly string[] {
  return tableLines(HEAD, records.map(rowOf))
}

function rowOf(record: AuditRecord): string[] {
  const { seq, time, user_id: user, vm_id: host, event, operation } = record
  return [String(seq), time, user ?? '-', host ?? '-', event, operation ?? '-', outcomeWords(record) ?? '-', subjectWords(record)]
}
