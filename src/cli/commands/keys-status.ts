import { ERRORS } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import type { KeyStatusRow } from '../../enrol/keys.ts'
import { complain } from '../complaint.ts'
import { notice, printJson, withRemex, type Door } from '../door.ts'
import { groupStatus, tellLeftOut } from '../run-report.ts'
import { tableLines } from '../table.ts'

/** The options of `keys status`. */
export interface KeyStatusFlags {
  readonly parallel?: number
}

/** `remex keys status`: exit status 1 where a key is due, so that cron tells of it. */
export async function showKeyStatus(door: Door, targets: string | undefined, { parallel }: KeyStatusFlags): Promise<number> {
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets ?? 'all')
    tellLeftOut(door, group)
    const rows: KeyStatusRow[] = []
    for await (const row of remex.keys.status(group.ids, { parallel, signal: door.stop.signal })) {
      rows.push(row)
      if (door.globals.json) await printJson(door, jsonRow(row))
    }
    // The order of the configuration, not of the answers.
    rows.sort((one, other) => group.ids.indexOf(one.vmId) - group.ids.indexOf(other.vmId))
    if (!door.globals.json) await tell(door, rows)
    if (rows.some((row) => row.due)) return 1
    return groupStatus(rows.map(({ error }) => (error ? ERRORS[error.code].exitStatus : 0)))
  })
}

async function tell(door: Door, rows: readonly KeyStatusRow[]): Promise<void> {
  for (const line of tableLines(['HOST', 'KEY', 'AGE', 'STATE', 'OTHERS', 'FINGERPRINT'], rows.map(textRow))) await door.stdout.line(line)
  for (const { vmId, holders } of rows) {
    for (const { type, fingerprint, comment, options, retired } of holders?.others ?? []) {
      const about = [comment, options === '' ? '' : `(${options})`, retired ? '(an old key of ours; it goes with the next rotation)' : ''].filter((part) => part !== '').join(' ')
      await door.stdout.line(printable(`${vmId} also lets in ${type} ${fingerprint}${about === '' ? '' : ` ${about}`}`))
    }
  }
  for (const { error } of rows) if (error && door.stop.status === undefined) complain(door, error)
  const due = rows.filter((row) => row.due).map((row) => row.vmId)
  if (due.length > 0) notice(door, `due: ${due.join(', ')}; next: remex keys rotate ${due.join(',')}`)
}

function textRow({ vmId, source, type, fingerprint, ageDays, rotationDays, due, holders, error }: KeyStatusRow): string[] {
  const state = due ? `due since ${(ageDays ?? 0) - rotationDays} d` : holders?.authorized === false ? 'not on the host' : error ? 'not known' : type === null ? '-' : `due in ${rotationDays - (ageDays ?? 0)} d`
  return [vmId, type ?? source ?? 'none', ageDays === null ? '-' : `${ageDays} d`, state, holders ? String(holders.others.length) : '-', fingerprint ?? '-']
}

function jsonRow({ vmId, source, type, fingerprint, ageDays, rotationDays, due, holders, error }: KeyStatusRow): object {
  return {
    vm_id: vmId,
    success: error === null,
    source,
    type,
    fingerprint,
    age_days: ageDays,
    rotation_days: rotationDays,
    due,
    authorized: holders?.authorized ?? null,
    others: holders?.others ?? null,
    error,
  }
}
