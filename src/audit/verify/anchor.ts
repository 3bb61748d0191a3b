import { remexError } from '../../core/errors.ts'
import type { Position } from '../line.ts'
import type { AuditFault, AuditProblem } from './verdict.ts'

/** The end of a log at one moment, as `remex audit anchor` prints it: one JSON object on a line. */
export interface Anchor extends Position {
  /** Of the record that says that it was handed out; that record is the end. */
  readonly time: string
}

const EXPECTED = 'expected lines as `remex audit anchor` prints them: {"seq":…,"hash":"…"}'

/** The anchors in a text, one on each line; other fields are left aside. Throws `USAGE` for anything else, and for none at all; `source` names the text. */
export function parseAnchors(text: string, source: string): readonly Position[] {
  const anchors = text.split('\n').flatMap((line, at) => (line.trim() === '' ? [] : [parseAnchor(line, `${source}, line ${at + 1}`)]))
  if (anchors.length === 0) throw remexError('USAGE', `${source} holds no anchor: ${EXPECTED}`)
  return anchors
}

function parseAnchor(line: string, source: string): Position {
  const value = parsed(line)
  if (typeof value === 'object' && value !== null && 'seq' in value && 'hash' in value) {
    const { seq, hash } = value
    if (Number.isSafeInteger(seq) && Number(seq) > 0 && typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash)) return { seq: Number(seq), hash }
  }
  throw remexError('USAGE', `${source} is not an anchor: ${EXPECTED}`)
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** Compares a log with anchors while it is read. */
export class AnchorCheck {
  readonly #hashes: ReadonlyMap<number, ReadonlySet<string>>
  readonly #newest: Position | undefined
  #checked = 0
  #tooOld = 0

  constructor(anchors: readonly Position[]) {
    const hashes = new Map<number, Set<string>>()
    for (const { seq, hash } of anchors) hashes.set(seq, (hashes.get(seq) ?? new Set()).add(hash))
    this.#hashes = hashes
    this.#newest = anchors.toSorted((a, b) => a.seq - b.seq).at(-1)
  }

  /** How many were compared, and how many lie before the first record that is there. */
  get counts(): { readonly checked: number; readonly tooOld: number } {
    return { checked: this.#checked, tooOld: this.#tooOld }
  }

  /** What the first record stands behind. */
  begin({ seq: start }: Position): void {
    this.#tooOld = [...this.#hashes.keys()].filter((seq) => seq <= start).length
  }

  /** What is wrong with a record that stands in its place; undefined where no anchor says otherwise. */
  record({ seq, hash }: Position): { readonly problem: AuditProblem; readonly message: string } | undefined {
    const hashes = this.#hashes.get(seq)
    if (!hashes) return undefined
    if (hashes.size > 1 || !hashes.has(hash)) return { problem: 'altered', message: `record ${seq} is not the one that an anchor names: the log was written anew` }
    this.#checked++
    return undefined
  }

  /** The fault of a log that ends before an anchor. */
  end(last: Position): AuditFault | undefined {
    if (!this.#newest || this.#newest.seq <= last.seq) return undefined
    const message = `the log ends with record ${last.seq}, and an anchor names record ${this.#newest.seq}: it was cut off`
    return { file: 'audit.jsonl', line: 1, seq: last.seq + 1, problem: 'cut_off', message }
  }
}
