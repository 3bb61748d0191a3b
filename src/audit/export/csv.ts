import { printable } from '../../core/printable.ts'
import type { AuditRecord } from '../record.ts'
import { FIELD_NAMES } from '../record.ts'
import { unknownFields } from './fields.ts'
import type { ExportFormat } from './format.ts'

const LINE_END = '\r\n'

/** What a spreadsheet takes as the beginning of a formula, also in its wide forms. */
const FORMULA = /^[=+\-@\t\uff1d\uff0b\uff0d\uff20]/

/**
 * CSV by RFC 4180: a line with the names of the fields, then one line for each record. Every text is quoted; what is not
 * there and what is null is empty. Lists and objects are JSON, and so is the last column, `other`: the fields that are not
 * known. Control characters are visible escapes, so a record is one line. A text that a spreadsheet would take as a formula
 * has an apostrophe before it.
 */
export const CSV: ExportFormat = {
  head: [...FIELD_NAMES, 'other'].join(',') + LINE_END,
  text: (record) => cellsOf(record).map(cell).join(',') + LINE_END,
}

function cellsOf(record: AuditRecord): readonly unknown[] {
  const fields: Readonly<Record<string, unknown>> = { ...record }
  return [...FIELD_NAMES.map((name) => fields[name]), unknownFields(record)]
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return quoted(printable(typeof value === 'string' ? value : JSON.stringify(value)))
}

function quoted(text: string): string {
  return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`
}
