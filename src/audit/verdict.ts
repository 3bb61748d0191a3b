import type { Position } from './line.ts'

/**
 * How a log is wrong. `altered`: a record is not as it was written. `not_json`: a line is no record at all. `missing`:
 * records are gone, and later ones are there. `reordered`: a record stands before an earlier one. `repeated`: a record
 * stands there that came before. `cut_off`: records are gone from the end.
 */
export type AuditProblem = 'altered' | 'not_json' | 'missing' | 'reordered' | 'repeated' | 'cut_off'

/** The first record that is wrong. */
export interface AuditFault {
  /** Line of audit.jsonl, 1 for the first. */
  readonly line: number
  /** `seq` of the record that should stand there. */
  readonly seq: number
  readonly problem: AuditProblem
  /** One sentence for people. */
  readonly message: string
}

/** What {@link verifyAudit} found: the whole chain is right, or the first record that is wrong and how. */
export type AuditVerdict =
  | {
      readonly ok: true
      /** How many records there are. */
      readonly count: number
      /** The last record; `seq` 0 where there is none. */
      readonly head: Position
      /** Whether head.json was there to compare with; without it records may be missing at the end. */
      readonly headChecked: boolean
      /** Bytes behind the last whole record: a writer was interrupted, or is writing. The next one moves them away. */
      readonly tornBytes: number
    }
  | ({ readonly ok: false } & AuditFault)
