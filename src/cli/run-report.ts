import { ERRORS } from '../core/errors.ts'
import type { RunResult } from '../core/outcome.ts'
import { Turnstile } from '../core/turnstile.ts'
import type { GroupRunOptions, HostGroup } from '../fleet/group.ts'
import { notice, printJson, type Door } from './door.ts'
import { runStatus } from './exit-status.ts'
import { hostsView } from './hosts-view.ts'
import { canBeLive } from './live/wanted.ts'
import { oneHostView } from './one-host-view.ts'
import { batchText } from './verdict.ts'

/** How the results of a run are shown, and its live output. */
export interface RunView {
  /** Undefined: the output is captured and comes with the result. */
  readonly onOutput: GroupRunOptions['onOutput'] | undefined
  /** Whether the output is to come with the result although it is listened to. Default: false. */
  readonly captures?: boolean
  /** A host is done. */
  readonly finished: (result: RunResult) => void | Promise<void>
  /** All hosts are done. */
  readonly end: () => void | Promise<void>
  /** A host's turn has come. */
  readonly started?: (vmId: string) => void
  /** Gives a host a signal of its own, by which the view can cancel it alone. */
  readonly signalOf?: GroupRunOptions['signalOf']
  /** It is over, after `end` or by an error: the terminal is given back. */
  readonly close?: () => void | Promise<void>
  /** Asked at the end: whether something that was asked for could not be shown or written. Default: it never happens. */
  readonly failed?: () => boolean
}

/** What was asked for of the output. */
export interface ViewFlags {
  /** Equal output is folded, at the end. */
  readonly gather: boolean
  /** As `gather`, and the others are shown by how they differ from the largest group. */
  readonly diff: boolean
  /** The directory that gets a file for each host; undefined: none does. */
  readonly outDir: string | undefined
  /** Where there is a terminal, many hosts have a live view. */
  readonly live: boolean
}

/** Starts the run on the group with these options besides its own. */
export type StartRuns = (live: Pick<GroupRunOptions, 'onOutput' | 'onStart' | 'onBatch' | 'onCheck' | 'onNoted' | 'onNotice' | 'signal' | 'signalOf' | 'maxOutputBytes'>) => AsyncIterable<RunResult>

/** Runs on all hosts of the group, shows what comes, and gives the exit status. */
export async function reportRuns(door: Door, group: HostGroup, flags: ViewFlags, start: StartRuns): Promise<number> {
  tellLeftOut(door, group)
  const view = await chooseView(door, group, flags)
  const { stop } = door
  // The last word on a host counts: a check may fail after a run that succeeded.
  const statuses = new Map<string, number>()
  let rest: RunResult | undefined
  const noted: string[] = []
  const live = {
    ...listeners(door, view),
    onNoted: (id: string) => void noted.push(id),
    signal: stop.signal,
    ...(view.signalOf && { signalOf: view.signalOf }),
    ...(view.onOutput && { onOutput: group.ids.length === 1 ? view.onOutput : sharing(view.onOutput) }),
    // What is shown as it comes need not be kept.
    ...(view.onOutput && !view.captures && { maxOutputBytes: 0 }),
  }
  try {
    for await (const result of start(live)) {
      stop.ended(result.vmId)
      statuses.set(result.vmId, runStatus(result))
      if (result.state !== 'succeeded') rest = result
      await view.finished(result)
    }
    await view.end()
    if (rest) for (const id of noted) tellAgain(door, rest.operation, id)
  } finally {
    await view.close?.()
  }
  const status = groupStatus([...statuses.values()])
  if (status !== 0 || !view.failed?.()) return status
  return group.ids.length === 1 ? ERRORS.NO_SPACE.exitStatus : 1
}

/** The same listener, that lets logins, deadlines and other hosts have their turn between what hosts write that flood. */
function sharing(listen: NonNullable<RunView['onOutput']>): NonNullable<RunView['onOutput']> {
  const turnstile = new Turnstile()
  return (vmId, stream, chunk) => turnstile.do(() => listen(vmId, stream, chunk))
}

/** What is said while it runs. */
function listeners(door: Door, view: RunView): Pick<GroupRunOptions, 'onStart' | 'onBatch' | 'onCheck' | 'onNotice'> {
  const { stop } = door
  return {
    onStart: (vmId) => {
      stop.started(vmId)
      view.started?.(vmId)
    },
    onBatch: (batch) => {
      if (batch.of > 1) notice(door, batchText(batch))
    },
    onCheck: (vmId, state) => (state === 'started' ? stop.started(vmId) : stop.ended(vmId)),
    onNotice: (text) => notice(door, text),
  }
}

/** How to try the hosts again that did not succeed. */
function tellAgain(door: Door, operation: RunResult['operation'], id: string): void {
  if (!door.globals.json && !door.stop.silent) notice(door, `again on the rest: remex ${operation} … --retry-failed ${id}`)
}

/** The status of one host as it is; of several 0 where all succeeded, else 1. */
export function groupStatus(statuses: readonly number[]): number {
  const [only = 0] = statuses
  if (statuses.length <= 1) return only
  return statuses.every((status) => status === 0) ? 0 : 1
}

/** Says which hosts of a group are left out, and why. */
export function tellLeftOut(door: Door, group: Pick<HostGroup, 'leftOut'>): void {
  for (const { id, reason } of group.leftOut) notice(door, `${id} is left out: it is ${reason}`)
}

async function chooseView(door: Door, group: HostGroup, flags: ViewFlags): Promise<RunView> {
  const view = await writtenView(door, group, flags)
  if (!flags.live || flags.gather || group.ids.length === 1 || !canBeLive(door)) return view
  const { liveView } = await import('./live/live-view.ts')
  return liveView(door, group.ids, view)
}

async function writtenView(door: Door, group: HostGroup, flags: ViewFlags): Promise<RunView> {
  const view = await shownView(door, group, flags)
  if (flags.outDir === undefined) return view
  const { outDirView } = await import('./out-dir.ts')
  return outDirView(door, flags.outDir, view)
}

async function shownView(door: Door, group: HostGroup, { gather, diff }: ViewFlags): Promise<RunView> {
  if (door.globals.json) return { onOutput: undefined, finished: (result) => printJson(door, result), end: () => undefined }
  if (gather) {
    const { gatherView } = await import('./gather/gather-view.ts')
    return gatherView(door, group.ids, { diff })
  }
  return group.ids.length === 1 ? oneHostView(door) : hostsView(door, group.ids)
}
