import { lineHeader, parseRecord, type LineHeader } from '../line.ts'
import type { AuditRecord } from '../record.ts'

/** Which records are wanted; all that is given must hold. */
export interface AuditFilter {
  /** `user_id`. */
  readonly user?: string
  /** `vm_id`. */
  readonly host?: string
  readonly operation?: string
  readonly event?: string
  readonly runId?: string
  readonly opId?: string
  /** Of finish records, and of notes that have one. */
  readonly status?: 'success' | 'error'
  /** The record's time, this one included. */
  readonly since?: Date
  /** The record's time, this one excluded. */
  readonly until?: Date
  /** The record's number, this one excluded. */
  readonly sinceSeq?: number
  /** A piece of the command, a path, the reason, the error code or the host; whether in capitals or not. */
  readonly text?: string
}

/** What is known of a part of a log without reading it: its earliest and latest time, and its last number. */
export type Extent = Required<Pick<AuditRecord, 'from_time' | 'to_time' | 'last_seq'>>

/** Text that stands in a line as it stands in the record: no character of it is escaped there. */
const PLAIN = /^[ !#-[\]-~]*$/

/** Picks the records that a filter wants. A line that cannot be one is passed over unparsed; of others the record decides. */
export class Sieve {
  readonly #filter: AuditFilter
  readonly #pieces: readonly Buffer[]
  readonly #text: RegExp | undefined
  readonly #isPlainText: boolean

  constructor(filter: AuditFilter) {
    this.#filter = filter
    this.#pieces = equalities(filter).flatMap(([name, wanted]) => (wanted !== undefined && PLAIN.test(wanted) ? [Buffer.from(`"${name}":"${wanted}"`)] : []))
    // Not of the kind `u`, for then "k" would also find the sign for kelvin, which a look at the bytes would not.
    this.#text = filter.text === undefined ? undefined : new RegExp(filter.text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`), 'i')
    this.#isPlainText = PLAIN.test(filter.text ?? '')
  }

  /** Whether it makes a difference to know the {@link Extent} of a part. */
  get hasBounds(): boolean {
    const { since, until, sinceSeq } = this.#filter
    return since !== undefined || until !== undefined || sinceSeq !== undefined
  }

  /** Whether a part of the log can hold a record that is wanted. */
  canBeIn({ from_time: from, to_time: to, last_seq: lastSeq }: Extent): boolean {
    const { since, until, sinceSeq = 0 } = this.#filter
    return lastSeq > sinceSeq && !(since && Date.parse(to) < since.getTime()) && !(until && Date.parse(from) >= until.getTime())
  }

  /** The record in the line, where it is one and is wanted. */
  pick(line: Buffer): AuditRecord | undefined {
    const header = lineHeader(line)
    // A line that begins in another way was not written by this version, and only its parsed record tells.
    if (header && !(this.#isWithin(header) && this.#canFit(line))) return undefined
    const record = parseRecord(line)
    return record && this.wants(record) ? record : undefined
  }

  /** Whether the record is wanted. */
  wants(record: AuditRecord): boolean {
    if (!this.#isWithin(record)) return false
    if (!equalities(this.#filter).every(([name, wanted]) => wanted === undefined || wanted === record[name])) return false
    return !this.#text || textsOf(record).some((text) => this.#text?.test(text ?? ''))
  }

  #isWithin({ seq, time }: Pick<LineHeader, 'seq' | 'time'>): boolean {
    const { since, until, sinceSeq = 0 } = this.#filter
    if (seq <= sinceSeq) return false
    if (!since && !until) return true
    const ms = Date.parse(time)
    return (!since || ms >= since.getTime()) && (!until || ms < until.getTime())
  }

  #canFit(line: Buffer): boolean {
    if (!this.#pieces.every((piece) => line.includes(piece))) return false
    return !this.#text || !this.#isPlainText || this.#text.test(line.toString('latin1'))
  }
}

function equalities({ user, host, operation, event, runId, opId, status }: AuditFilter) {
  return [['event', event], ['op_id', opId], ['run_id', runId], ['user_id', user], ['vm_id', host], ['operation', operation], ['status', status]] as const
}

function textsOf({ command, local, remote, reason, error_code: errorCode, vm_id: host }: AuditRecord): readonly (string | null | undefined)[] {
  return [command, local, remote, reason, errorCode, host]
}
