import type { AuditRecord } from '../record.ts'

/** Where an export is made. */
export interface Origin {
  /** The name of this machine. */
  readonly machine: string
  /** The version of Remex. */
  readonly version: string
}

/** A form in which records leave. */
export interface ExportFormat {
  /** What comes before the first record; mostly empty. */
  readonly head: string
  /** What a record becomes, its line end included; empty for one that has no place in this form. */
  readonly text: (record: AuditRecord) => string
}
