import type { Position } from '../line.ts'

/**
 * How a log is wrong. `altered`: a record is not as it was written, or a head is not what the key signed. `not_json`: a line
 * is no record at all. `missing`: records are gone, and later ones are there. `reordered`: a record stands before an earlier
 * one. `repeated`: a record stands there that came before. `cut_off`: records are gone from the end, or what would tell is.
 * `other_key`: another key signed it than the one it is verified by.
 */
export type AuditProblem = 'altered' | 'not_json' | 'missing' | 'reordered' | 'repeated' | 'cut_off' | 'other_key'

/** The first record that is wrong. */
export interface AuditFault {
  /** Name of the file, `audit.jsonl` or one beside it. */
  readonly file: string
  /** Line of that file, 1 for the first. */
  readonly line: number
  /** `seq` of the record that should stand there. */
  readonly seq: number
  readonly problem: AuditProblem
  /** One sentence for people. */
  readonly message: string
}

/** A log in which every record is as it was written. */
export interface AuditSoundness {
  readonly ok: true
  /** How many records there are. */
  readonly count: number
  /** The last record; `seq` 0 where there is none. */
  readonly head: Position
  /** Whether head.json was there to compare with; without it records may be missing at the end. */
  readonly headChecked: boolean
  /** Bytes behind the last whole record: a writer was interrupted, or is writing. The next one moves them away. */
  readonly tornBytes: number
  /** How many files the records are in. */
  readonly files: number
  /** Number of the first record; more than 1 where retention has removed those before. */
  readonly firstSeq: number
  /** Whose signatures were checked, and the last record that they cover; undefined for a log of a version that did not sign. */
  readonly signed: { readonly key: string; readonly seq: number } | undefined
  /** How many anchors were compared, and how many lie in what retention has removed. */
  readonly anchors: { readonly checked: number; readonly tooOld: number }
  /** How many files of recorded output were read. */
  readonly outputs: number
  /** Numbers of the records that say that something was found wrong and mended, the first hundred. */
  readonly repaired: readonly number[]
}

/** What {@link verifyAudit} found: the whole chain is right, or the first record that is wrong and how. */
export type AuditVerdict = AuditSoundness | ({ readonly ok: false } & AuditFault)
