import { ERRORS } from '../../core/errors.ts'
import { complain } from '../complaint.ts'
import { notice, printJson, withRemex, type Door } from '../door.ts'
import { groupStatus } from '../run-report.ts'

/** The options of `runs prune`. */
export interface PruneFlags {
  readonly olderThan?: string
  readonly runId?: string
}

/** `remex runs prune`. */
export async function pruneRuns(door: Door, targets: string | undefined, { olderThan, runId }: PruneFlags): Promise<number> {
  const what = { ...(targets !== undefined && { targets }), ...(olderThan !== undefined && { olderThan }), ...(runId !== undefined && { runId }) }
  return withRemex(door, async (remex) => {
    const statuses: number[] = []
    let count = 0
    for await (const { vmId, removed, error } of remex.runs.prune(what)) {
      statuses.push(error ? ERRORS[error.code].exitStatus : 0)
      count += removed.length
      if (door.globals.json) await printJson(door, { vm_id: vmId, removed, error })
      else {
        for (const id of removed) await door.stdout.line(`${vmId}: removed ${id}`)
        if (error) complain(door, error)
      }
    }
    if (count === 0 && !door.globals.json) notice(door, 'there was nothing to remove')
    return groupStatus(statuses)
  })
}
