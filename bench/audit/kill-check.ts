import { readLines } from '../../src/audit/line-reader.ts'
import { parseRecord } from '../../src/audit/line.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { Segments } from '../../src/audit/segments.ts'
import type { AuditSoundness } from '../../src/audit/verify/verdict.ts'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import type { Acknowledged } from './acknowledged.ts'

/** What a look at a log found. */
export interface Look {
  readonly verdict: AuditSoundness | undefined
  /** What is wrong, in words. */
  readonly wrong: readonly string[]
  /** Numbers of the repairs that moved a torn line away. */
  readonly torn: readonly number[]
  /** Ends whose beginning is not there: right only where retention took it, which is known when all writers have ended. */
  readonly orphans: readonly { readonly opId: string; readonly firstSeq: number }[]
}

/** Looks at a log, writers at work or not: whether it verifies, and whether what was acknowledged before is in it. */
export async function lookAt(directory: string, said: Acknowledged): Promise<Look> {
  const verdict = await verifyAudit(directory, { anchors: said.anchors })
  if (!verdict.ok) return { verdict: undefined, wrong: [`${verdict.file} line ${verdict.line}: ${verdict.message}`], torn: [], orphans: [] }
  const { firstSeq, begun, finished, torn } = await contentsOf(directory)
  const isThere = (opId: string): boolean => (said.begun.get(opId) ?? 0) >= firstSeq
  const wrong = [
    ...[...said.begun.keys()].filter((opId) => isThere(opId) && !begun.has(opId)).map((opId) => `the begin record of ${opId} was acknowledged and is not there`),
    ...[...said.finished].filter((opId) => isThere(opId) && !finished.has(opId)).map((opId) => `the finish record of ${opId} was acknowledged and is not there`),
  ]
  return { verdict, wrong, torn, orphans: [...finished].filter((opId) => !begun.has(opId)).map((opId) => ({ opId, firstSeq })) }
}

interface Contents {
  readonly firstSeq: number
  readonly begun: ReadonlySet<string>
  readonly finished: ReadonlySet<string>
  readonly torn: readonly number[]
}

/** Reads the log through; once more where retention takes a file meanwhile. */
async function contentsOf(directory: string): Promise<Contents> {
  for (;;) {
    const records = await recordsOf(directory)
    if (!records) continue
    const opIds = (event: string): ReadonlySet<string> => new Set(records.filter((record) => record.event === event).map(({ op_id: opId = '' }) => opId))
    return { firstSeq: records[0]?.seq ?? 1, begun: opIds('begin'), finished: opIds('finish'), torn: records.filter(({ torn_bytes: bytes = 0 }) => bytes > 0).map(({ seq }) => seq) }
  }
}

async function recordsOf(directory: string): Promise<readonly AuditRecord[] | undefined> {
  await using segments = await Segments.of(directory)
  const records: AuditRecord[] = []
  for (const segment of segments.list) {
    const file = await segments.open(segment)
    if (!file) return undefined
    for await (const lines of readLines(file)) {
      for (const { bytes } of lines) {
        const record = parseRecord(bytes)
        if (record) records.push(record)
      }
    }
  }
  return records
}
