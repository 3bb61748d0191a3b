import { listAudit } from '../audit/read/list.ts'
import type { AuditRecord } from '../audit/record.ts'
import { verifyAudit } from '../audit/verify/verify.ts'
import type { SelftestHost } from './selftest-checks.ts'
import { bad, good, type Finding } from './selftest-finding.ts'

/** What was asked of the hosts: how many of each operation on each. */
export class Asked {
  readonly #counts = new Map<string, number>()

  /** Counts one operation. */
  add(vmId: string, operation: string): void {
    const key = `${vmId} ${operation}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  /** `host`, with everything that is asked of it counted. */
  counting(vmId: string, host: SelftestHost): SelftestHost {
    const counted = <A extends readonly unknown[], R>(operation: string, ask: (...args: A) => R) => (...args: A): R => {
      this.add(vmId, operation)
      return ask(...args)
    }
    return {
      run: counted('run', host.run.bind(host)),
      script: counted('script', host.script.bind(host)),
      put: counted('upload', host.put.bind(host)),
      get: counted('download', host.get.bind(host)),
    }
  }

  /** How many, by host and operation. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
  }
}

/** Whether the log is whole, and has the begin and the finish of all that this process asked for `since` then. */
export async function checkAudit(directory: string, { asked, since }: { readonly asked: Asked; readonly since: Date }): Promise<Finding> {
  const verdict = await verifyAudit(directory)
  if (!verdict.ok) return bad(verdict.message, 'The log was changed behind Remex’s back, or its disk is bad: remex audit verify')
  const begun = new Map<string, number>()
  const open = new Map<string, string>()
  for await (const record of listAudit(directory, { since })) {
    if (record.pid === process.pid) note(record, begun, open)
  }
  const missing = [...asked.counts].filter(([key, count]) => begun.get(key) !== count).map(([key, count]) => `${key}: ${begun.get(key) ?? 0} of ${count}`)
  if (missing.length > 0) return bad(`operations are not in the log as they were asked for: ${missing.join(', ')}`, 'If a check says why the log cannot be written, mend that; else please report it.')
  if (open.size > 0) return bad(`operations have no end in the log: ${[...open.values()].join(', ')}`, 'See which: remex audit list')
  return good(`${verdict.count} records are whole, the ${asked.total} operations of this selftest among them`)
}

/** An operation is in the log when it has begun there, or was denied. */
function note(record: AuditRecord, begun: Map<string, number>, open: Map<string, string>): void {
  const { event, op_id: opId, vm_id: vmId, operation } = record
  const key = `${vmId ?? ''} ${operation ?? ''}`
  if (event === 'begin' || event === 'denied') begun.set(key, (begun.get(key) ?? 0) + 1)
  if (event === 'begin' && opId !== undefined) open.set(opId, key)
  if (event === 'finish' && opId !== undefined) open.delete(opId)
}
