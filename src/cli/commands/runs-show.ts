import { printable } from '../../core/printable.ts'
import type { RunInfo } from '../../core/run-info.ts'
import { formatBytes } from '../byte-size.ts'
import { printJson, withRemex, type Door } from '../door.ts'
import { knownText, runInfoRow, runStateText } from '../run-info-view.ts'
import type { HostFlag } from './runs.ts'

/** `remex runs show`. */
export async function showRun(door: Door, runId: string, { host }: HostFlag): Promise<number> {
  return withRemex(door, async (remex) => {
    const info = await remex.runs.show(runId, { ...(host !== undefined && { vmId: host }) })
    if (door.globals.json) await printJson(door, runInfoRow(info))
    else for (const [label, text] of Object.entries(facts(info))) await door.stdout.line(printable(`${label.padEnd(9)} ${text}`))
    return 0
  })
}

function facts(info: RunInfo): Record<string, string> {
  const { runId, vmId, evidence, command, user, startedAt, stdoutBytes, stderrBytes, cut } = info
  return {
    run: runId,
    host: vmId,
    state: runStateText(info),
    evidence,
    command,
    user: user ?? '-',
    started: startedAt ?? '-',
    output: `stdout ${formatBytes(stdoutBytes)}, stderr ${formatBytes(stderrBytes)}${cut ? '; what came after was thrown away' : ''}`,
    'known to': knownText(info),
  }
}
