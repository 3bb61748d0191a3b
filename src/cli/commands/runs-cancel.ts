import type { RunResult } from '../../core/outcome.ts'
import { printable } from '../../core/printable.ts'
import { complain } from '../complaint.ts'
import { printJson, withRemex, type Door } from '../door.ts'
import { stateText, verdictText } from '../verdict.ts'
import type { HostFlag } from './runs.ts'

/** `remex runs cancel`: 0 where nothing of the run is left, however it ended. */
export async function cancelRun(door: Door, runId: string, { host }: HostFlag): Promise<number> {
  return withRemex(door, async (remex) => {
    const result = await remex.runs.cancel(runId, { ...(host !== undefined && { vmId: host }) })
    if (door.globals.json) await printJson(door, result)
    else await tell(door, result)
    return isOver(result) ? 0 : 125
  })
}

async function tell(door: Door, result: RunResult): Promise<void> {
  const { vmId, runId, ended, exitCode, killed, error } = result
  if (!isKnown(result)) return error ? complain(door, error) : undefined
  const state = ended === 'exited' ? `exited ${exitCode ?? '?'}` : stateText(result.state)
  const text = ended === 'cancelled' ? 'cancelled' : `had ended before: ${state}`
  await door.stdout.line(printable(`${vmId}: run ${runId}: ${text}${killed ? `; ${verdictText(killed)}` : ''}`))
}

function isOver(result: RunResult): boolean {
  const { killed } = result
  return isKnown(result) && (killed === null || (killed.survivors.length === 0 && killed.scope !== 'unknown'))
}

/** Whether its end was told by the host. Also of a host that was not reached nothing is known. */
function isKnown({ ended }: RunResult): boolean {
  return ['exited', 'signaled', 'timed_out', 'cancelled'].includes(ended)
}
