import { FIELD_NAMES, type AuditRecord } from '../record.ts'

const KNOWN = new Set<string>(FIELD_NAMES)

/** Whether this version knows the field. */
export function isKnownField(name: string): boolean {
  return KNOWN.has(name)
}

/** The fields that a later version wrote; undefined where there are none. */
export function unknownFields(record: AuditRecord): Readonly<Record<string, unknown>> | undefined {
  const names = Object.keys(record).filter((name) => !KNOWN.has(name))
  return names.length === 0 ? undefined : Object.fromEntries(Object.entries(record).filter(([name]) => names.includes(name)))
}
