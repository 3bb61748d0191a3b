import { asRemexError, ERRORS, withDetails } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { fanOut } from '../fleet/fan-out.ts'
import type { HostGroup } from '../fleet/group.ts'
import type { Remex } from '../remex.ts'
import { complain } from './complaint.ts'
import { notice, printJson, type Door } from './door.ts'
import { groupStatus, tellLeftOut } from './run-report.ts'

/** Work with the keys of hosts, and how it is told. */
export interface KeyWork<R> {
  /** Hosts at a time. */
  readonly parallel: number
  /** Does it on one host; tells what was done by `onStep`. */
  readonly work: (vmId: string, onStep: (text: string) => void) => Promise<R>
  /** What a person is told when it is done. */
  readonly done: (report: R) => string
  /** What `--json` has besides `vm_id`, `success`, `steps` and `error`. */
  readonly json: (report: R) => object
}

/** Does the work on every host of the group, tells what comes of each, and gives the exit status. */
export async function reportKeyWork<R>(door: Door, group: Pick<HostGroup, 'ids' | 'leftOut'>, { parallel, work, done, json }: KeyWork<R>): Promise<number> {
  tellLeftOut(door, group)
  const statuses: number[] = []
  const workOn = async (vmId: string): Promise<number> => {
    const steps: string[] = []
    const onStep = (text: string): void => {
      steps.push(text)
      if (!door.globals.json && !door.globals.quiet) void door.stdout.line(printable(`${vmId}: ${text}`))
    }
    try {
      const report = await work(vmId, onStep)
      if (door.globals.json) await printJson(door, { vm_id: vmId, success: true, ...json(report), steps, error: null })
      else await door.stdout.line(printable(`${vmId}: ${done(report)}`))
      return 0
    } catch (error) {
      const known = withDetails(asRemexError(error), { vmId })
      if (door.globals.json) await printJson(door, { vm_id: vmId, success: false, steps, error: known })
      else if (door.stop.status === undefined) complain(door, known)
      return ERRORS[known.code].exitStatus
    }
  }
  const stopped = (): Promise<number> => Promise.resolve(door.stop.status ?? 0)
  for await (const status of fanOut(group.ids, parallel, (vmId) => (door.stop.signal.aborted ? stopped() : workOn(vmId)))) statuses.push(status)
  const failed = statuses.filter((status) => status !== 0).length
  if (statuses.length > 1 && !door.globals.json) notice(door, `${statuses.length} hosts: ${statuses.length - failed} ok${failed === 0 ? '' : `, ${failed} failed`}`)
  return groupStatus(statuses)
}

/** Hosts at a time: as asked for, else as many as the configuration says. */
export function parallelOf(remex: Pick<Remex, 'config'>, parallel: number | undefined): number {
  return parallel ?? remex.config.settings.maxParallel
}
