import type { Command } from 'commander'
import { printable } from '../core/printable.ts'
import type { TransferResult } from '../core/transfer-result.ts'
import type { GroupTransferOptions, HostGroup } from '../fleet/group.ts'
import { formatBytes } from './byte-size.ts'
import { complain } from './complaint.ts'
import { notice, printJson, type Door } from './door.ts'
import { transferStatus } from './exit-status.ts'
import { Progress } from './progress.ts'
import { groupStatus, tellLeftOut } from './run-report.ts'
import { durationText, octalMode, wholeNumber } from './values.ts'

/** The options of `put` and `get` as commander gives them. */
export interface TransferFlags {
  readonly mode?: number
  readonly timeout?: string
  readonly retries?: number
  readonly parallel?: number
  readonly dryRun?: boolean
}

/** Gives `command` the options that `put` and `get` share. */
export function addTransferOptions(command: Command): Command {
  return command
    .option('--mode <octal>', 'permission bits of the result (default: those of the source)', octalMode)
    .option('--timeout <duration>', 'limit for the whole transfer: 500ms, 30s, 5m, 2h, none (default: none)', durationText)
    .option('--retries <n>', 'attempts (default: default_retry, 3)', wholeNumber('--retries', 1))
    .option('--parallel <n>', 'hosts at a time (default: max_parallel_commands, 32)', wholeNumber('--parallel', 1))
    .option('--dry-run', 'say what would be written where; send nothing')
}

/** Starts the transfers with these options besides its own. */
export type StartTransfers = (live: Pick<GroupTransferOptions, 'onProgress' | 'onStart' | 'signal'>) => AsyncIterable<TransferResult>

/** Transfers with all hosts of the group, shows what comes of it, and gives the exit status. */
export async function reportTransfers(door: Door, group: HostGroup, start: StartTransfers): Promise<number> {
  tellLeftOut(door, group)
  const { stop, globals } = door
  const progress = new Progress(door, group.ids.length)
  const statuses: number[] = []
  const live = {
    signal: stop.signal,
    onStart: (vmId: string) => stop.started(vmId),
    onProgress: (vmId: string, doneBytes: number, totalBytes: number | undefined) => progress.update(vmId, doneBytes, totalBytes),
  }
  for await (const result of start(live)) {
    stop.ended(result.vmId)
    statuses.push(transferStatus(result))
    progress.finished()
    if (globals.json) await printJson(door, result)
    else if (!stop.silent) await tell(door, result)
  }
  if (group.ids.length > 1 && !globals.json && !stop.silent) tellSummary(door, statuses)
  return groupStatus(statuses)
}

async function tell(door: Door, result: TransferResult): Promise<void> {
  const { error, attempts, engine } = result
  if (error) return complain(door, error, { attempts, engine })
  if (!door.globals.quiet) await door.stdout.line(receiptLine(result))
}

/** `vm01: sent local.txt to /srv/file.txt, 1.2 kB, sha256 …, verified`. */
export function receiptLine({ vmId, operation, local, remote, sizeBytes, sha256, verified }: TransferResult): string {
  const what = operation === 'upload' ? `sent ${local} to ${remote}` : `fetched ${remote} to ${local}`
  return printable(`${vmId}: ${what}, ${formatBytes(sizeBytes ?? 0)}, sha256 ${sha256 ?? 'unknown'}, ${verified ? 'verified' : 'NOT verified'}`)
}

function tellSummary(door: Door, statuses: readonly number[]): void {
  const succeeded = statuses.filter((status) => status === 0).length
  const failed = statuses.length - succeeded
  notice(door, `${statuses.length} hosts: ${succeeded} succeeded${failed === 0 ? '' : `, ${failed} failed`}`)
}
