import type { RunResult } from '../../core/outcome.ts'
import { notice, printJson, withRemex, type Door } from '../door.ts'
import { runStatus } from '../exit-status.ts'
import { oneHostView } from '../one-host-view.ts'
import type { HostFlag } from './runs.ts'

/** The options of `runs attach`. */
export interface AttachFlags extends HostFlag {
  readonly stdoutOffset?: number
  readonly stderrOffset?: number
}

/** `remex runs attach`. */
export async function attachRun(door: Door, runId: string, { host, stdoutOffset, stderrOffset }: AttachFlags): Promise<number> {
  const { stop, globals } = door
  const view = oneHostView(door)
  stop.onlyFollow()
  stop.started(host ?? runId)
  return withRemex(door, async (remex) => {
    const result: RunResult = await remex.runs.attach(runId, {
      ...(host !== undefined && { vmId: host }),
      ...(stdoutOffset !== undefined && { stdoutOffset }),
      ...(stderrOffset !== undefined && { stderrOffset }),
      ...(!globals.json && { onOutput: (stream, chunk) => view.onOutput?.('', stream, chunk), maxOutputBytes: 0 }),
      onNotice: (text) => notice(door, text),
      signal: stop.signal,
    })
    if (globals.json) await printJson(door, result)
    else await view.finished(result)
    return runStatus(result)
  })
}
