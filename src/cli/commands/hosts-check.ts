import { asRemexError, ERRORS, withDetails, type RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { fanOut } from '../../fleet/fan-out.ts'
import type { Remex } from '../../remex.ts'
import type { ConnectionInfo } from '../../transport/contract.ts'
import { complain } from '../complaint.ts'
import { notice, printJson, withRemex, type Door } from '../door.ts'
import { groupStatus, tellLeftOut } from '../run-report.ts'

/** The options of `hosts check`. */
export interface CheckFlags {
  readonly parallel?: number
}

interface Checked {
  readonly vmId: string
  readonly info: ConnectionInfo | undefined
  readonly error: RemexError | null
  readonly executionTime: number
}

/** `remex hosts check`: connects and logs in. */
export async function checkHosts(door: Door, targets: string, { parallel }: CheckFlags): Promise<number> {
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    tellLeftOut(door, group)
    const statuses: number[] = []
    const atOnce = parallel ?? remex.config.settings.maxParallel
    for await (const checked of fanOut(group.ids, atOnce, (vmId) => check(remex, vmId, door.stop.signal))) {
      statuses.push(checked.error ? ERRORS[checked.error.code].exitStatus : 0)
      if (door.globals.json) await printJson(door, jsonRow(checked))
      else await tell(door, checked)
    }
    const failed = statuses.filter((status) => status !== 0).length
    if (statuses.length > 1 && !door.globals.json) notice(door, `${statuses.length} hosts: ${statuses.length - failed} ok${failed === 0 ? '' : `, ${failed} failed`}`)
    return groupStatus(statuses)
  })
}

async function check(remex: Remex, vmId: string, signal: AbortSignal): Promise<Checked> {
  const startMs = performance.now()
  const seconds = (): number => Math.round(performance.now() - startMs) / 1000
  try {
    const info = await remex.check(vmId, signal)
    return { vmId, info, error: null, executionTime: seconds() }
  } catch (error) {
    return { vmId, info: undefined, error: withDetails(asRemexError(error), { vmId }), executionTime: seconds() }
  }
}

async function tell(door: Door, { vmId, info, error, executionTime }: Checked): Promise<void> {
  if (error) return door.stop.status === undefined ? complain(door, error) : undefined
  if (!info) return
  const key = `${info.hostKey.type} ${info.hostKey.fingerprint}`
  await door.stdout.line(printable(`${vmId}: ok, ${info.engine} (${info.engineReason}), ${info.kex}, ${key}, ${Math.round(executionTime * 1000)} ms`))
}

function jsonRow({ vmId, info, error, executionTime }: Checked): object {
  return {
    vm_id: vmId,
    success: error === null,
    engine: info?.engine ?? null,
    engine_reason: info?.engineReason ?? null,
    post_quantum: info ? info.postQuantum === 'used' : null,
    kex: info?.kex ?? null,
    cipher: info?.cipher ?? null,
    mac: info?.mac ?? null,
    host_key: info?.hostKey.fingerprint ?? null,
    host_key_type: info?.hostKey.type ?? null,
    server_version: info?.serverVersion ?? null,
    execution_time: executionTime,
    error,
  }
}
