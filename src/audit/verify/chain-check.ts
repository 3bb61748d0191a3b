import type { Head } from '../head.ts'
import { NO_HASH, START, type FoundRecord, type LineContent, type Position } from '../line.ts'
import type { AuditFault, AuditProblem } from './verdict.ts'

/** A line of a file of the log. */
export interface LinePlace {
  readonly file: string
  /** 1 for the first. */
  readonly line: number
}

/** Something is wrong, and what comes after decides what it is. */
interface Suspicion {
  readonly kind: 'gap' | 'link'
  readonly at: LinePlace
  readonly before: LinePlace
  readonly found: Position
}

/** What a record in its place may still be wrong by; undefined where it is right. */
export type RecordCheck = (record: FoundRecord, last: Position, line: Buffer) => { readonly problem: AuditProblem; readonly message: string } | undefined

const NOWHERE: LinePlace = { file: 'audit.jsonl', line: 0 }

/** Follows a chain line by line, through its files, and names the first record that is wrong. */
export class ChainCheck {
  readonly #head: Head | undefined
  readonly #check: RecordCheck
  #last = START
  #place = NOWHERE
  #before = NOWHERE
  #suspicion: Suspicion | undefined
  #count = 0

  /** `check` looks at every record that stands in its place. */
  constructor(head: Head | undefined, check: RecordCheck) {
    this.#head = head
    this.#check = check
  }

  /** What the chain begins behind, where that is not its own beginning. Before the first line. */
  begin(start: Position): void {
    this.#last = start
  }

  /** The last record that was right. */
  get last(): Position {
    return this.#last
  }

  /** How many records were right. */
  get count(): number {
    return this.#count
  }

  /** Takes the next line. Returns the fault once it is certain; then the check is over. */
  add(content: LineContent, place: LinePlace, line: Buffer): AuditFault | undefined {
    this.#before = this.#place
    this.#place = place
    if (this.#suspicion) return this.#decide(this.#suspicion, content.kind === 'record' ? content : undefined)
    if (content.kind === 'not_json') return this.#fault('not_json', `${named(place)}, where record ${this.#due} should be, is not a record`)
    if (content.kind === 'altered') return this.#fault('altered', `record ${this.#due} was altered: its hash is not that of its content`)
    return this.#follow(content, line)
  }

  /** The fault that the end makes certain, if there is one. */
  end(): AuditFault | undefined {
    return this.#suspicion ? this.#decideAtEnd(this.#suspicion) : this.#cutOff()
  }

  /** The fault of bytes that follow the last record of a file and belong to none. */
  faultBehind(tornBytes: number): AuditFault {
    const { file, line } = this.#place
    return this.#fault('not_json', `${tornBytes} bytes that are no record follow ${named(this.#place)}`, { file, line: line + 1 })
  }

  /** `seq` of the record that should come next. */
  get #due(): number {
    return this.#last.seq + 1
  }

  #follow(record: FoundRecord, line: Buffer): AuditFault | undefined {
    const { position: found, prev } = record
    const { hash } = this.#last
    if (found.seq !== this.#due && prev === hash) return this.#linkFault(this.#place, this.#due)
    if (found.seq < this.#due) return this.#fault('repeated', `${named(this.#place)} holds record ${found.seq} again, where record ${this.#due} should be`)
    if (found.seq > this.#due) this.#suspect('gap', found)
    else if (prev !== hash) return this.#suspectLink(found)
    else if (found.seq === this.#head?.seq && found.hash !== this.#head.hash) return this.#rewritten()
    else return this.#accept(record, line)
    return undefined
  }

  #accept(record: FoundRecord, line: Buffer): AuditFault | undefined {
    const wrong = this.#check(record, this.#last, line)
    if (wrong) return this.#fault(wrong.problem, wrong.message)
    this.#last = record.position
    this.#count++
    return undefined
  }

  #suspect(kind: Suspicion['kind'], found: Position): void {
    this.#suspicion = { kind, at: this.#place, before: this.#before, found }
  }

  /** Either this record has another `prev` than it was written with, or the one before was changed with its hash. */
  #suspectLink(found: Position): AuditFault | undefined {
    if (this.#last.hash === NO_HASH) return this.#linkFault(this.#place, found.seq)
    this.#suspect('link', found)
    return undefined
  }

  #decide(suspicion: Suspicion, next: FoundRecord | undefined): AuditFault | undefined {
    const { kind, at, before, found } = suspicion
    if (kind === 'link') {
      // Where the record after it links to it, it is as it was written.
      const changedBefore = next?.prev === found.hash
      return changedBefore ? this.#linkFault(before, found.seq - 1) : this.#linkFault(at, found.seq)
    }
    const turnedUp = next?.position.seq === this.#due && next.prev === this.#last.hash
    return turnedUp ? this.#fault('reordered', `${named(at)} holds record ${found.seq}, and record ${this.#due} comes after it`, at) : undefined
  }

  #decideAtEnd({ kind, at, before, found }: Suspicion): AuditFault {
    if (kind === 'gap') return this.#fault('missing', `${missing(this.#due, found.seq - 1)} before ${named(at)}`, at)
    return found.hash === this.#head?.hash ? this.#linkFault(before, found.seq - 1) : this.#linkFault(at, found.seq)
  }

  #cutOff(): AuditFault | undefined {
    if (!this.#head || this.#head.seq <= this.#last.seq) return undefined
    const { file, line } = this.#place
    return this.#fault('cut_off', `the log ends with record ${this.#last.seq}, and ${this.#head.seq} had been written: it was cut off`, { file, line: line + 1 })
  }

  #rewritten(): AuditFault {
    return this.#fault('altered', `record ${this.#due} is not the one that head.json names: it was altered, and hashes were computed anew`)
  }

  #linkFault({ file, line }: LinePlace, seq: number): AuditFault {
    return { file, line, seq, problem: 'altered', message: `record ${seq} was altered, and its hash computed anew: the chain is broken there` }
  }

  #fault(problem: AuditProblem, message: string, { file, line }: LinePlace = this.#place): AuditFault {
    return { file, line, seq: this.#due, problem, message }
  }
}

/** How people are told of a line: that of `audit.jsonl` by its number alone. */
export function named({ file, line }: LinePlace): string {
  return file === NOWHERE.file ? `line ${line}` : `line ${line} of ${file}`
}

/** `record 3 is missing`, `records 3 to 5 are missing`. */
export function missing(first: number, last: number): string {
  return first === last ? `record ${first} is missing` : `records ${first} to ${last} are missing`
}
