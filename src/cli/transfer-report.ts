import { isUtf8 } from 'node:buffer'
import { setFlagsFromString } from 'node:v8'
import type { Command } from 'commander'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { TransferResult, TreeFacts } from '../core/transfer-result.ts'
import type { GroupTransferOptions, HostGroup } from '../fleet/group.ts'
import type { TransferOptions, TreeChange } from '../fleet/requests.ts'
import type { FilterRule } from '../transfer/tree/filter.ts'
import { formatBytes } from './byte-size.ts'
import { complain } from './complaint.ts'
import { notice, printJson, type Door } from './door.ts'
import { transferStatus } from './exit-status.ts'
import { Progress } from './progress.ts'
import { groupStatus, tellLeftOut } from './run-report.ts'
import { durationText, octalMode, sizeBytes, wholeNumber } from './values.ts'

/** The options of `put` and `get` as commander gives them. */
export interface TransferFlags {
  readonly recursive?: boolean
  readonly delete?: boolean
  readonly include?: readonly FilterRule[]
  readonly exclude?: readonly FilterRule[]
  readonly mode?: number
  readonly preserve?: boolean
  readonly resume?: boolean
  readonly checksum?: boolean
  readonly limitRate?: number
  readonly timeout?: string
  readonly retries?: number
  readonly parallel?: number
  readonly insecureSkipVerify?: boolean
  readonly dryRun?: boolean
}

/** Gives `command` the options that `put` and `get` share. */
export function addTransferOptions(command: Command): Command {
  const rules = ruleList()
  return command
    .option('--recursive', 'both paths are directories; the target is made like the source (what is the same by size and time is left alone)')
    .option('--delete', 'with --recursive: remove at the target what the source does not have')
    .option('--include <pattern>', 'with --recursive: what belongs to the tree; of --include and --exclude the first that matches decides', rules('include'))
    .option('--exclude <pattern>', 'with --recursive: what does not: name, dir/, *.log, /anchored/**; may be repeated', rules('exclude'))
    .option('--mode <octal>', 'permission bits of the result, in a tree of its files (default: those of the source)', octalMode)
    .option('--preserve', 'give the result the permission bits and times of the source')
    .option('--resume', 'go on where an interrupted transfer stood, after comparing what is there')
    .option('--checksum', 'compare by SHA-256 what may be the same already, and do not move what is')
    .option('--limit-rate <bytes>', 'bytes per second for all hosts together: 500k, 10M', rate)
    .option('--timeout <duration>', 'limit for the whole transfer: 500ms, 30s, 5m, 2h, none (default: none)', durationText('--timeout'))
    .option('--retries <n>', 'attempts (default: default_retry, 3)', wholeNumber('--retries', 1))
    .option('--parallel <n>', 'hosts at a time (default: max_parallel_commands, 32)', wholeNumber('--parallel', 1))
    .option('--insecure-skip-verify', 'do not compare checksums; the receipt says that nothing was verified')
    .option('--dry-run', 'say what would be written where, and change nothing; with --recursive after comparing with the host')
}

/** Parsers of `--include` and `--exclude`, which fill one list: their order decides. */
function ruleList(): (effect: FilterRule['effect']) => (pattern: string) => readonly FilterRule[] {
  const rules: FilterRule[] = []
  return (effect) => (pattern) => {
    rules.push({ effect, pattern })
    return rules
  }
}

/** Bytes per second; nothing moves at 0. */
function rate(text: string): number {
  const bytes = sizeBytes('--limit-rate')(text)
  if (bytes === 0) throw remexError('USAGE', '--limit-rate: at 0 nothing would ever arrive')
  return bytes
}

/** The options of the library for these flags. Throws `USAGE` for what needs `--recursive`. */
export function transferOptions({ include, exclude, parallel, recursive, ...flags }: TransferFlags): Omit<TransferOptions, 'onProgress' | 'onChange' | 'signal'> & Pick<GroupTransferOptions, 'parallel'> {
  const rules = include ?? exclude
  if (recursive) collectOften()
  if (!recursive && (flags.delete || rules)) throw remexError('USAGE', `${flags.delete ? '--delete' : '--include and --exclude'} needs --recursive`)
  return { ...flags, ...(recursive ? { recursive } : {}), ...(rules ? { rules } : {}), ...(parallel === undefined ? {} : { parallel }) }
}

/** From here on the memory of a tree is worth the time that it costs to keep it small. */
const MUCH_MEMORY_BYTES = 75_000_000
const LOOK_AT_MEMORY_MS = 100

/**
 * A tree of hundreds of thousands of files leaves garbage faster than V8 thinks worth collecting: it lets the heap grow to four
 * times what lives in it. To a seventh more costs a tenth of the time, and saves half of the memory.
 */
function collectOften(): void {
  const watch = setInterval(() => {
    if (process.memoryUsage.rss() < MUCH_MEMORY_BYTES) return
    setFlagsFromString('--heap-growing-percent=10')
    clearInterval(watch)
  }, LOOK_AT_MEMORY_MS)
  watch.unref()
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
    if (globals.json) await printTransfer(door, result)
    else if (!stop.silent) await tell(door, result)
  }
  if (group.ids.length > 1 && !globals.json && !stop.silent) tellSummary(door, statuses)
  return groupStatus(statuses)
}

/** The object of a transfer in pieces: a tree may have more files than fit in memory as text. */
async function printTransfer(door: Door, result: TransferResult): Promise<void> {
  for (const piece of result.jsonText()) await door.stdout.write(piece)
  await door.stdout.line('')
}

async function tell(door: Door, result: TransferResult): Promise<void> {
  const { error, attempts, engine, tree } = result
  if (error) {
    complain(door, error, { attempts, engine })
    if (tree) tellFailures(door, result.vmId, tree)
    return
  }
  if (!door.globals.quiet) await door.stdout.line(receiptLine(result))
}

/** Says what a dry run of trees would do, and gives the exit status. */
export async function reportTreePlan(door: Door, group: HostGroup, start: (live: Pick<GroupTransferOptions, 'onChange' | 'signal'>) => AsyncIterable<TransferResult>): Promise<number> {
  tellLeftOut(door, group)
  const statuses: number[] = []
  const changes = new Map<string, TreeChange[]>()
  const onChange = (vmId: string, change: TreeChange): void => {
    const planned = changes.get(vmId)
    if (planned) planned.push(change)
    else changes.set(vmId, [change])
  }
  for await (const result of start({ onChange, signal: door.stop.signal })) {
    statuses.push(transferStatus(result))
    const planned = changes.get(result.vmId) ?? []
    changes.delete(result.vmId)
    if (door.globals.json) await printJson(door, { ...planJson(result), changes: planned.map(changeJson) })
    else if (result.error) complain(door, result.error, result)
    else for (const change of planned) await door.stdout.line(changeLine(result.vmId, change))
    if (!door.globals.json && !result.error) notice(door, `${result.vmId}: ${planned.length === 0 ? 'nothing would change' : `${planned.length} ${plural(planned.length, 'change')}; nothing was done`}`)
  }
  return groupStatus(statuses)
}

function planJson({ vmId, operation, local, remote, error }: TransferResult): Record<string, unknown> {
  return { vm_id: vmId, dry_run: true, operation, local, remote, error }
}

function changeJson({ action, path, sizeBytes: bytes }: TreeChange): Record<string, unknown> {
  return { action, path: path.toString(), ...(isUtf8(path) ? {} : { path_base64: path.toString('base64') }), ...(bytes === undefined ? {} : { size_bytes: bytes }) }
}

const ACTIONS: Readonly<Record<TreeChange['action'], string>> = {
  send: 'write', make_directory: 'make', link: 'link', delete: 'delete', skip: 'skip', fail: 'cannot',
}

function changeLine(vmId: string, { action, path, sizeBytes: bytes }: TreeChange): string {
  const name = `${path.toString()}${action === 'make_directory' ? '/' : ''}`
  return printable(`${vmId}: would ${ACTIONS[action].padEnd(6)} ${name}${bytes === undefined ? '' : `, ${formatBytes(bytes)}`}`)
}

/** `vm01: sent local.txt to /srv/file.txt, 1.2 kB, sha256 …, verified`. */
export function receiptLine({ vmId, operation, local, remote, sizeBytes: bytes, sha256, verified, resumedFromBytes, tree }: TransferResult): string {
  const what = operation === 'upload' ? `sent ${local} to ${remote}` : `fetched ${remote} to ${local}`
  const proof = `sha256 ${sha256 ?? 'unknown'}, ${verified ? 'verified' : 'NOT verified'}`
  const resumed = resumedFromBytes === 0 ? '' : resumedFromBytes === bytes ? ', was there already' : `, resumed at ${formatBytes(resumedFromBytes)}`
  if (tree === null) return printable(`${vmId}: ${what}, ${formatBytes(bytes ?? 0)}${resumed}, ${proof}`)
  return printable(`${vmId}: ${what}, ${countsOf(tree)}, ${formatBytes(bytes ?? 0)}, manifest ${proof}`)
}

function countsOf({ files, unchanged, deleted, links, skipped }: TreeFacts): string {
  const others = Object.entries({ unchanged, deleted, [plural(links, 'link')]: links, skipped }).filter(([, count]) => count > 0)
  return [`${files.size} ${plural(files.size, 'file')}`, ...others.map(([name, count]) => `${count} ${name}`)].join(', ')
}

function plural(count: number, noun: string): string {
  return count === 1 ? noun : `${noun}s`
}

/** What failed by itself, a line each: the error tells the first. */
function tellFailures(door: Door, vmId: string, { failed, failures }: TreeFacts): void {
  for (const { path, error } of failures.slice(1)) notice(door, printable(`${vmId}: ${path}: ${error.message}`))
  if (failed > failures.length) notice(door, `${vmId}: and ${failed - failures.length} more`)
}

function tellSummary(door: Door, statuses: readonly number[]): void {
  const succeeded = statuses.filter((status) => status === 0).length
  const failed = statuses.length - succeeded
  notice(door, `${statuses.length} hosts: ${succeeded} succeeded${failed === 0 ? '' : `, ${failed} failed`}`)
}
