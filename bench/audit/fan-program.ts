// Runs `true` on all hosts of a configuration, with its audit log on disk or in memory; says how long it took from opening to closing.
import { draft, type DraftFields } from '../../src/audit/draft.ts'
import { AuditLog, type AuditEntry, type BeginFields, type FinishFields, type NoteFields } from '../../src/audit/log.ts'
import type { Draft } from '../../src/audit/record.ts'
import { newRunId } from '../../src/core/run-id.ts'
import { Remex } from '../../src/remex.ts'

const [config = '', stateFolder = '', sink = ''] = process.argv.slice(2)
if (sink === 'memory') keepInMemory()
const startMs = performance.now()
const hosts = await answersOfAll()
process.stdout.write(`${JSON.stringify({ ms: performance.now() - startMs, hosts })}\n`)

async function answersOfAll(): Promise<number> {
  await using remex = await Remex.open({ config, env: { ...process.env, REMEX_STATE_DIR: stateFolder } })
  let hosts = 0
  for await (const report of remex.hosts('all').run('true')) {
    if (!report.success) throw new Error(`${report.vmId} did not answer`)
    hosts++
  }
  return hosts
}

/**
 * From now on a log makes its records, masked and bounded as ever, and keeps them: no chain, no file, no disk. By its
 * prototype, for a fleet takes nothing but an {@link AuditLog}, and what is compared is to be the same in all else.
 */
function keepInMemory(): void {
  const kept: Draft[] = []
  const keep = (event: string, fields: DraftFields): Draft => {
    const record = draft(event, new Date().toISOString(), { os_user: 'operator', pid: process.pid, ...fields })
    kept.push(record)
    return record
  }
  const sink: Pick<AuditLog, 'begin' | 'finish' | 'note' | 'close'> = {
    async begin(fields: BeginFields): Promise<AuditEntry> {
      const opId = newRunId(Date.now())
      return { opId, begun: keep('begin', { ...fields, op_id: opId }), seq: kept.length }
    },
    async finish(entry: AuditEntry, fields: FinishFields) {
      keep('finish', { ...fields, op_id: entry.opId })
    },
    async note(event: string, fields: NoteFields) {
      keep(event, fields)
    },
    close: () => Promise.resolve(),
  }
  Object.assign(AuditLog.prototype, sink)
}
