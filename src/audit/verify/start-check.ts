import { missing, named, type LinePlace } from './chain-check.ts'
import { NO_HASH, parseRecord, START, type LineContent, type Position } from '../line.ts'
import type { Segment } from '../segments.ts'
import type { AuditFault } from './verdict.ts'

/**
 * Whether a log may begin where it does. One that begins behind record 1 must have a `removed` record later on, which says
 * that retention took what was before, and with which hash that ended.
 */
export class StartCheck {
  /** What the first record stands behind. */
  readonly position: Position
  readonly #place: LinePlace
  #found: 'removed' | 'reordered' | undefined

  /** Of the first line, and where it stands. */
  constructor(first: LineContent, { file, line, firstSeq = 1 }: LinePlace & Pick<Segment, 'firstSeq'>) {
    this.#place = { file, line }
    // Nothing stands before a record that follows none, whatever its number says.
    if (first.kind === 'record') this.position = first.prev === NO_HASH || first.position.seq === 1 ? START : { seq: first.position.seq - 1, hash: first.prev }
    else this.position = firstSeq === 1 ? START : { seq: firstSeq - 1, hash: '' }
  }

  /** Whether later records cannot change what is known. */
  get isDecided(): boolean {
    return this.position.seq === 0 || this.#found !== undefined
  }

  /** Looks at a line for what decides. That a `removed` record is genuine is for others to check. */
  look(content: LineContent, line: Buffer): void {
    if (this.isDecided || content.kind !== 'record') return
    if (content.position.seq === 1 && content.prev === NO_HASH) this.#found = 'reordered'
    if (content.event !== 'removed') return
    const record = parseRecord(line)
    if (record?.last_seq === this.position.seq && record.last_hash === this.position.hash) this.#found = 'removed'
  }

  /** The fault of the beginning, once all lines were looked at. */
  fault(): AuditFault | undefined {
    const { seq } = this.position
    if (seq === 0 || this.#found === 'removed') return undefined
    if (this.#found === 'reordered') return this.#fault('reordered', `${named(this.#place)} holds record ${seq + 1}, and record 1 comes after it`)
    return this.#fault('missing', `${missing(1, seq)} before ${named(this.#place)}`)
  }

  #fault(problem: AuditFault['problem'], message: string): AuditFault {
    return { ...this.#place, seq: 1, problem, message }
  }
}
