import type { Head } from './head.ts'
import { readLine, START, type Position } from './line.ts'
import type { AuditFault, AuditProblem, AuditVerdict } from './verdict.ts'

/** Something is wrong, and what comes after decides what it is. */
type Suspicion =
  | { readonly kind: 'gap'; readonly line: number; readonly found: Position }
  | { readonly kind: 'link'; readonly line: number; readonly found: Position }

/** Follows a chain line by line, and names the first record that is wrong. */
export class ChainCheck {
  readonly #head: Head | undefined
  #last: Position = START
  #line = 0
  #suspicion: Suspicion | undefined

  constructor(head: Head | undefined) {
    this.#head = head
  }

  /** Takes the next line. Returns the fault once it is certain; then the check is over. */
  add(bytes: Buffer): AuditFault | undefined {
    this.#line++
    const content = readLine(bytes)
    const next = content.kind === 'record' ? content : undefined
    if (this.#suspicion) return this.#decide(this.#suspicion, next)
    if (content.kind === 'not_json') return this.#fault('not_json', `line ${this.#line}, where record ${this.#due} should be, is not a record`)
    if (content.kind === 'altered') return this.#fault('altered', `record ${this.#due} was altered: its hash is not that of its content`)
    return this.#follow(content.position, content.prev)
  }

  /** The verdict after the last line; `tornBytes` follow it. */
  end(tornBytes: number): AuditVerdict {
    const fault = this.#suspicion ? this.#decideAtEnd(this.#suspicion) : this.#cutOff()
    if (fault) return { ok: false, ...fault }
    return { ok: true, count: this.#last.seq, head: this.#last, headChecked: this.#head !== undefined, tornBytes }
  }

  /** `seq` of the record that should come next. */
  get #due(): number {
    return this.#last.seq + 1
  }

  #follow(found: Position, prev: string): AuditFault | undefined {
    const { hash } = this.#last
    if (found.seq !== this.#due && prev === hash) return this.#linkFault(this.#line, this.#due)
    if (found.seq < this.#due) return this.#fault('repeated', `line ${this.#line} holds record ${found.seq} again, where record ${this.#due} should be`)
    if (found.seq > this.#due) this.#suspicion = { kind: 'gap', line: this.#line, found }
    else if (prev !== hash) return this.#suspectLink(found)
    else if (found.seq === this.#head?.seq && found.hash !== this.#head.hash) return this.#rewritten()
    else this.#last = found
    return undefined
  }

  /** Either this record has another `prev` than it was written with, or the one before was changed with its hash. */
  #suspectLink(found: Position): AuditFault | undefined {
    if (this.#last.seq === 0) return this.#linkFault(this.#line, found.seq)
    this.#suspicion = { kind: 'link', line: this.#line, found }
    return undefined
  }

  #decide(suspicion: Suspicion, next: { readonly position: Position; readonly prev: string } | undefined): AuditFault | undefined {
    const { kind, line, found } = suspicion
    if (kind === 'link') {
      // Where the record after it links to it, it is as it was written.
      const changedBefore = next?.prev === found.hash
      return changedBefore ? this.#linkFault(line - 1, found.seq - 1) : this.#linkFault(line, found.seq)
    }
    const turnedUp = next?.position.seq === this.#due && next.prev === this.#last.hash
    return turnedUp ? this.#fault('reordered', `line ${line} holds record ${found.seq}, and record ${this.#due} comes after it`, line) : undefined
  }

  #decideAtEnd({ kind, line, found }: Suspicion): AuditFault {
    if (kind === 'gap') {
      const [first, last] = [this.#due, found.seq - 1]
      return this.#fault('missing', `${first === last ? `record ${first} is` : `records ${first} to ${last} are`} missing before line ${line}`, line)
    }
    return found.hash === this.#head?.hash ? this.#linkFault(line - 1, found.seq - 1) : this.#linkFault(line, found.seq)
  }

  #cutOff(): AuditFault | undefined {
    if (!this.#head || this.#head.seq <= this.#last.seq) return undefined
    this.#line++
    return this.#fault('cut_off', `the log ends with record ${this.#last.seq}, and ${this.#head.seq} had been written: it was cut off`)
  }

  #rewritten(): AuditFault {
    return this.#fault('altered', `record ${this.#due} is not the one that head.json names: it was altered, and hashes were computed anew`)
  }

  #linkFault(line: number, seq: number): AuditFault {
    return { line, seq, problem: 'altered', message: `record ${seq} was altered, and its hash computed anew: the chain is broken there` }
  }

  #fault(problem: AuditProblem, message: string, line = this.#line): AuditFault {
    return { line, seq: this.#due, problem, message }
  }
}
