import type { AuditRecord } from '../../src/audit/record.ts'
import { BEGIN, FINISH } from './log-directory.ts'

/** How a run ended, as the log has it. */
export const RECORD: AuditRecord = {
  seq: 7,
  time: '2026-01-31T12:00:00.043Z',
  event: 'finish',
  op_id: 'op-1',
  os_user: 'root',
  pid: 4711,
  ...plain(BEGIN),
  ...plain(FINISH),
  prev: 'a'.repeat(64),
  hash: 'b'.repeat(64),
}

/** How it began. */
export const BEGUN: AuditRecord = { ...plain(BEGIN), seq: 6, time: '2026-01-31T12:00:00.000Z', event: 'begin', op_id: 'op-1', os_user: 'root', pid: 4711, prev: 'c'.repeat(64), hash: 'a'.repeat(64) }

function plain({ secrets: _, ...fields }: Partial<typeof BEGIN & typeof FINISH>): Partial<AuditRecord> {
  return fields
}
