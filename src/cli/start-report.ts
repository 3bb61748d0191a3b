import { ERRORS } from '../core/errors.ts'
import type { HostGroup } from '../fleet/group.ts'
import type { StartResult } from '../fleet/start-result.ts'
import { complain } from './complaint.ts'
import { notice, printJson, type Door } from './door.ts'
import { groupStatus, tellLeftOut } from './run-report.ts'

/** Shows what was started where, with `--detach`, and gives the exit status: that every host has begun it. */
export async function reportStarts(door: Door, group: HostGroup, starts: AsyncIterable<StartResult>): Promise<number> {
  tellLeftOut(door, group)
  const statuses: number[] = []
  for await (const result of starts) {
    statuses.push(result.error ? ERRORS[result.error.code].exitStatus : 0)
    if (door.globals.json) await printJson(door, result)
    else await tell(door, result, group.ids.length > 1)
  }
  return groupStatus(statuses)
}

async function tell(door: Door, { vmId, runId, started, error }: StartResult, several: boolean): Promise<void> {
  if (error) return complain(door, error)
  // Alone, so that $(remex run vm01 --detach …) is the id.
  await door.stdout.line(several ? `${vmId}: ${runId}` : runId)
  if (!started) notice(door, `${vmId}: run ${runId} was there already; nothing was started`)
}
