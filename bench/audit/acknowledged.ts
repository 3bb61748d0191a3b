import type { Anchor } from '../../src/audit/verify/anchor.ts'

/** What writers said was acknowledged to them. */
export class Acknowledged {
  /** `seq` of begin records, by `op_id`. */
  readonly begun = new Map<string, number>()
  /** `op_id` of finish records. */
  readonly finished = new Set<string>()
  readonly anchors: Anchor[] = []

  /** Takes a line of a writer. */
  take(line: string): void {
    const [kind, first = '', opId = ''] = line.split(' ')
    if (kind === 'B') this.begun.set(opId, Number(first))
    else if (kind === 'F') this.finished.add(first)
    else if (kind === 'A') this.anchors.push(JSON.parse(line.slice(2)) as Anchor)
    else throw new Error(`a writer said ${line}`)
  }

  /** As it is now: what is said later is not in it. */
  snapshot(): Acknowledged {
    const copy = new Acknowledged()
    for (const [opId, seq] of this.begun) copy.begun.set(opId, seq)
    for (const opId of this.finished) copy.finished.add(opId)
    copy.anchors.push(...this.anchors)
    return copy
  }
}
