import type { Config, HostConfig } from '../config/types.ts'
import { formatDurationMs } from '../core/duration.ts'
import { printable } from '../core/printable.ts'
import { planBatches, type BatchOptions } from '../fleet/batches.ts'
import type { HostGroup } from '../fleet/group.ts'
import { decideOptions } from '../fleet/invocation.ts'
import { describe } from '../fleet/record.ts'
import type { RunRequest, ScriptRequest, TransferRequest } from '../fleet/requests.ts'
import { decideTransfer } from '../fleet/transfer-report.ts'
import { notice, printJson, type Door } from './door.ts'
import { tellLeftOut } from './run-report.ts'
import { batchText } from './verdict.ts'

/** What would be done. */
export interface DryRun {
  readonly config: Config
  readonly group: Pick<HostGroup, 'ids' | 'leftOut'>
  readonly requestOf: (vmId: string) => RunRequest | ScriptRequest | TransferRequest
  /** In which portions the hosts would have their turn. Default: all at once. */
  readonly rollout?: BatchOptions
}

/** Shows what would run where; sends nothing, connects to nothing. Throws `USAGE` for a call that is wrong. Gives the exit status. */
export async function showDryRun(door: Door, { config, group, requestOf, rollout = {} }: DryRun): Promise<number> {
  tellLeftOut(door, group)
  const batches = planBatches(group.ids, rollout)
  if (batches.length > 1) for (const [index, { ids, canary }] of batches.entries()) notice(door, batchText({ number: index + 1, of: batches.length, ids, canary }))
  for (const vmId of group.ids) {
    const host = config.hosts.get(vmId)
    if (!host) continue
    const plan = planOf(host, requestOf(vmId), config)
    if (door.globals.json) await printJson(door, plan)
    else for (const line of planLines(plan)) await door.stdout.line(line)
  }
  return 0
}

/** What is shown of any operation; more fields follow. */
interface Plan {
  readonly vm_id: string
  readonly dry_run: true
  readonly operation: string
  readonly address: string
  readonly port: number
  readonly login: string
  /** Seconds; null: none. */
  readonly timeout: number | null
  readonly [field: string]: string | number | boolean | null | readonly string[]
}

function planOf(host: HostConfig, request: RunRequest | ScriptRequest | TransferRequest, config: Config): Plan {
  const where = { vm_id: host.id, dry_run: true as const, operation: request.operation, address: host.address, port: host.port, login: host.login }
  if (request.operation === 'upload' || request.operation === 'download') {
    const { timeoutMs } = decideTransfer(request, config.settings)
    const { mode } = request.options
    const octal = mode === undefined ? null : mode.toString(8).padStart(4, '0')
    return { ...where, local: request.local, remote: request.remote, mode: octal, timeout: seconds(timeoutMs) }
  }
  const { command = '' } = describe(request)
  const { cwd, env, sudoUser, timeoutMs, attempts } = decideOptions(request.options, host, config.settings)
  const rest = { cwd: cwd ?? null, env_names: Object.keys(env), sudo: sudoUser ?? null, timeout: seconds(timeoutMs), attempts }
  return { ...where, command, ...rest }
}

/** JSON has no infinity: null is no limit. */
function seconds(durationMs: number): number | null {
  return durationMs === Infinity ? null : durationMs / 1000
}

function planLines(plan: Plan): string[] {
  const { vm_id: id, operation, address, port, login, timeout } = plan
  const limit = timeout === null ? 'none' : formatDurationMs(timeout * 1000)
  const head = `${id}: would ${verbOf(operation)} on ${login}@${address} port ${port}, timeout ${limit}`
  return [head, ...Object.entries(DETAILS).flatMap(([name, label]) => detail(label, plan[name]))].map(printable)
}

const DETAILS: Readonly<Record<string, string>> = { command: 'command', cwd: 'directory', env_names: 'variables', sudo: 'sudo to', local: 'here', remote: 'there', mode: 'mode' }

function detail(label: string, value: Plan[string] | undefined): string[] {
  const text = Array.isArray(value) ? value.join(', ') : value
  return text === undefined || text === null || text === '' ? [] : [`  ${label.padEnd(10)} ${String(text)}`]
}

function verbOf(operation: string): string {
  const verbs: Readonly<Record<string, string>> = { script: 'run a script', upload: 'write a file', download: 'read a file' }
  return verbs[operation] ?? 'run'
}
