import type { AuditRecord } from '../../audit/record.ts'
import { printable } from '../../core/printable.ts'
import { printJson, withRemex, type Door } from '../door.ts'
import { recordTable } from './audit-list.ts'

/** `remex audit show`. */
export async function showRecord(door: Door, seq: number): Promise<number> {
  return withRemex(door, async ({ config }) => {
    const { findRecord } = await import('../../audit/read/find.ts')
    const { record, related } = await findRecord(config.settings.auditPath, seq)
    if (door.globals.json) {
      await printJson(door, record)
      return 0
    }
    for (const line of factLines(record)) await door.stdout.line(line)
    if (related.length > 0) for (const line of ['', 'of the same operation:', ...recordTable(related)]) await door.stdout.line(line)
    return 0
  })
}

function factLines(record: AuditRecord): readonly string[] {
  const facts = Object.entries(record).map(([name, value]): [string, string] => [name, valueText(value)])
  const width = Math.max(...facts.map(([name]) => name.length))
  return facts.map(([name, text]) => printable(`${name.padEnd(width)}  ${text}`))
}

function valueText(value: unknown): string {
  if (value === null) return '-'
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(', ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
