import type { RunResult } from '../core/outcome.ts'
import type { BatchOptions } from '../fleet/batches.ts'
import type { HostGroup } from '../fleet/group.ts'
import type { RunRequest, ScriptRequest } from '../fleet/requests.ts'
import type { StartResult } from '../fleet/start-result.ts'
import { withRemex, type Door } from './door.ts'
import { onHostsToTry } from './retry-failed.ts'
import { isDurable, type RunFlags } from './run-options.ts'
import { reportRuns, type StartRuns, type ViewFlags } from './run-report.ts'

/** What is to run, and where. */
export interface HostRun {
  readonly targets: string
  readonly flags: RunFlags
  readonly view: ViewFlags
  readonly request: RunRequest | ScriptRequest
  /** In which portions the hosts have their turn. */
  readonly rollout: BatchOptions
  /** With `--detach`. */
  readonly start: (group: HostGroup) => AsyncIterable<StartResult>
  readonly run: (group: HostGroup, live: Parameters<StartRuns>[0]) => AsyncIterable<RunResult>
}

/** Runs it on all of its hosts or, as the flags say, on those left by an earlier run, detached, or not at all. Gives the exit status. */
export async function runOnHosts(door: Door, { targets, flags, view, request, rollout, start, run }: HostRun): Promise<number> {
  if (isDurable(flags)) door.stop.onlyFollow()
  return withRemex(door, async (remex) =>
    onHostsToTry(door, remex.hosts(targets), { retryFailed: flags.retryFailed, request }, async (group) => {
      if (flags.dryRun) {
        const { showDryRun } = await import('./dry-run.ts')
        return showDryRun(door, { config: remex.config, group, requestOf: () => request, rollout })
      }
      if (flags.detach) {
        const { reportStarts } = await import('./start-report.ts')
        return reportStarts(door, group, start(group))
      }
      return reportRuns(door, group, view, (live) => run(group, live))
    }),
  )
}
