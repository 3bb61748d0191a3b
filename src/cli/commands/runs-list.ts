import { notice, printJson, withRemex, type Door } from '../door.ts'
import { knownText, runInfoRow, runStateText } from '../run-info-view.ts'
import type { RemexError } from '../../core/errors.ts'
import type { RunInfo } from '../../core/run-info.ts'
import { tableLines } from '../table.ts'

/** `remex runs list`. */
export async function listRuns(door: Door, targets: string | undefined): Promise<number> {
  return withRemex(door, async (remex) => {
    const infos: RunInfo[] = []
    let unreachable = 0
    const onUnreachable = (vmId: string, error: RemexError): void => {
      unreachable++
      notice(door, `${vmId} could not be asked: ${error.message}`)
    }
    for await (const info of remex.runs.list({ ...(targets !== undefined && { targets }), signal: door.stop.signal, onUnreachable })) {
      if (door.globals.json) await printJson(door, runInfoRow(info))
      else infos.push(info)
    }
    const status = unreachable > 0 ? 1 : 0
    if (door.globals.json) return status
    const rows = infos.sort(byStart).map(textRow)
    if (rows.length === 0) notice(door, 'no durable run is known')
    else for (const line of tableLines(['RUN', 'HOST', 'STATE', 'STARTED', 'USER', 'KNOWN TO', 'COMMAND'], rows)) await door.stdout.line(line)
    return status
  })
}

function byStart(a: RunInfo, b: RunInfo): number {
  const [first, second] = [a, b].map(({ startedAt, runId, vmId }) => `${startedAt ?? ''} ${runId} ${vmId}`)
  return (first ?? '') < (second ?? '') ? -1 : 1
}

function textRow(info: RunInfo): string[] {
  const { runId, vmId, startedAt, user, command } = info
  return [runId, vmId, runStateText(info), startedAt ?? '-', user ?? '-', knownText(info), command]
}
