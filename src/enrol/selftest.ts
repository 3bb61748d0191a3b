import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asRemexError } from '../core/errors.ts'
import { fanOut } from '../fleet/fan-out.ts'
import type { ConnectionInfo } from '../transport/contract.ts'
import { Asked, checkAudit } from './selftest-audit.ts'
import { HOST_CHECKS, type HostCheck, type SelftestHost, type SelftestScene } from './selftest-checks.ts'
import type { Finding } from './selftest-finding.ts'
import { SelftestPlace } from './selftest-place.ts'

/** What became of one check of one host, or of the audit log. */
export interface SelftestRow {
  /** Undefined for the audit log, which is of all hosts. */
  readonly vmId: string | undefined
  readonly check: HostCheck['name'] | 'audit'
  readonly status: 'ok' | 'failed' | 'skipped'
  /** What was seen, why it failed, or why it was skipped. */
  readonly message: string
  /** What to do next; mostly empty unless it failed. */
  readonly hint: string
  /** Seconds. */
  readonly executionTime: number
}

/** What the selftest works with. */
export interface SelftestParts {
  /** The hosts, in the order of the rows that are returned. */
  readonly ids: readonly string[]
  /** Hosts at a time. */
  readonly parallel: number
  readonly host: (vmId: string) => SelftestHost
  readonly connect: (vmId: string, signal: AbortSignal) => Promise<ConnectionInfo>
  /** Where the audit log of all this is. */
  readonly auditPath: string
  /** What is left is then skipped; what is on the hosts is removed even so. */
  readonly signal: AbortSignal
  /** Hears of each check as it ends. */
  readonly onRow: (row: SelftestRow) => void | Promise<void>
  /** Hears what no check can say: that something was left on a host. */
  readonly onNotice: (text: string) => void
  /** Something runs on the host from now on, or nothing any more. */
  readonly onHost?: (vmId: string, isBusy: boolean) => void
}

/**
 * Tries the main job on real hosts: connects, runs a command and a script, sends a file and fetches it back, lets a deadline
 * pass, and looks whether all that is in the audit log. Never rejects for a host. Leaves nothing behind.
 */
export async function selftest(parts: SelftestParts): Promise<readonly SelftestRow[]> {
  const directory = await mkdtemp(join(tmpdir(), 'remex-selftest-'))
  const asked = new Asked()
  const since = new Date()
  try {
    const byHost = new Map<string, readonly SelftestRow[]>()
    for await (const { vmId, rows } of fanOut(parts.ids, parts.parallel, (id) => testHost(parts, { vmId: id, directory, asked }))) byHost.set(vmId, rows)
    const last = await testAudit(parts, { asked, since })
    return [...parts.ids.flatMap((id) => byHost.get(id) ?? []), last]
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

interface Shared {
  readonly vmId: string
  readonly directory: string
  readonly asked: Asked
}

async function testHost(parts: SelftestParts, shared: Shared): Promise<{ vmId: string; rows: readonly SelftestRow[] }> {
  const { vmId } = shared
  parts.onHost?.(vmId, true)
  try {
    return { vmId, rows: await performAll(parts, await sceneOf(parts, shared)) }
  } finally {
    parts.onHost?.(vmId, false)
  }
}

async function sceneOf({ host, connect, signal }: SelftestParts, { vmId, directory, asked }: Shared): Promise<SelftestScene> {
  const own = await mkdtemp(join(directory, 'host-'))
  const counted = asked.counting(vmId, host(vmId))
  const connecting = (): Promise<ConnectionInfo> => {
    asked.add(vmId, 'host_check')
    return connect(vmId, signal)
  }
  return { vmId, host: counted, connect: connecting, place: new SelftestPlace(counted), directory: own, signal }
}

async function performAll(parts: SelftestParts, scene: SelftestScene): Promise<readonly SelftestRow[]> {
  const rows: SelftestRow[] = []
  const wentWell = (name: HostCheck['name']): boolean => rows.some(({ check, status }) => check === name && status === 'ok')
  for (const { name, needs, perform } of HOST_CHECKS) {
    const about = { vmId: scene.vmId, check: name }
    const row = needs === undefined || wentWell(needs) ? await attempt(parts.signal, about, () => perform(scene)) : skipped(about, `${needs} did not go well`)
    rows.push(row)
    await parts.onRow(row)
  }
  if (scene.place.mayBeThere) await removePlace(parts, scene)
  return rows
}

async function removePlace({ onNotice }: SelftestParts, { vmId, place }: SelftestScene): Promise<void> {
  const { ok, message, hint } = await place.remove().catch(failure)
  if (!ok) onNotice(`${vmId}: ${message}. ${hint}`)
}

async function testAudit({ auditPath, signal, onRow }: SelftestParts, what: { asked: Asked; since: Date }): Promise<SelftestRow> {
  const row = await attempt(signal, { vmId: undefined, check: 'audit' }, () => checkAudit(auditPath, what))
  await onRow(row)
  return row
}

type About = Pick<SelftestRow, 'vmId' | 'check'>

async function attempt(signal: AbortSignal, about: About, perform: () => Promise<Finding>): Promise<SelftestRow> {
  const isOver = (): boolean => signal.aborted
  if (isOver()) return skipped(about, 'interrupted')
  const startMs = performance.now()
  const { ok, message, hint } = await perform().catch(failure)
  if (!ok && isOver()) return skipped(about, 'interrupted')
  return { ...about, status: ok ? 'ok' : 'failed', message, hint, executionTime: Math.round(performance.now() - startMs) / 1000 }
}

function failure(error: unknown): Finding {
  const { message, hint } = asRemexError(error)
  return { ok: false, message, hint }
}

function skipped(about: About, message: string): SelftestRow {
  return { ...about, status: 'skipped', message, hint: '', executionTime: 0 }
}
