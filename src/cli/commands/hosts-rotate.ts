import { asRemexError, ERRORS, withDetails, type RemexError } from '../../core/errors.ts'
import { fingerprint, type HostKey } from '../../core/host-key.ts'
import { printable } from '../../core/printable.ts'
import type { HostKeyRotation } from '../../enrol/host-rotate.ts'
import { fanOut } from '../../fleet/fan-out.ts'
import type { Remex } from '../../remex.ts'
import { complain } from '../complaint.ts'
import { printJson, withRemex, type Door } from '../door.ts'
import { groupStatus, tellLeftOut } from '../run-report.ts'

/** The options of `hosts rotate`. */
export interface RotateFlags {
  readonly dryRun?: boolean
}

interface Rotated {
  readonly vmId: string
  readonly rotation: HostKeyRotation | undefined
  readonly error: RemexError | null
}

/** `remex hosts rotate`: exchanges known host keys for those that the hosts prove to have now. */
export async function rotateHosts(door: Door, targets: string, { dryRun = false }: RotateFlags): Promise<number> {
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    tellLeftOut(door, group)
    const statuses: number[] = []
    for await (const rotated of fanOut(group.ids, remex.config.settings.maxParallel, (vmId) => rotate(remex, vmId, { dryRun, signal: door.stop.signal }))) {
      statuses.push(rotated.error ? ERRORS[rotated.error.code].exitStatus : 0)
      if (door.globals.json) await printJson(door, jsonRow(rotated, dryRun))
      else await tell(door, rotated, dryRun)
    }
    return groupStatus(statuses)
  })
}

async function rotate(remex: Remex, vmId: string, options: { readonly dryRun: boolean; readonly signal: AbortSignal }): Promise<Rotated> {
  try {
    return { vmId, rotation: await remex.trust.rotate(vmId, options), error: null }
  } catch (error) {
    return { vmId, rotation: undefined, error: withDetails(asRemexError(error), { vmId }) }
  }
}

function jsonRow({ vmId, rotation, error }: Rotated, dryRun: boolean): object {
  const { added = [], removed = [], kept = [], hostKey = null } = rotation ?? {}
  const gone = removed.map(({ key, file, line }) => ({ ...keyRow(key), file, line }))
  return { vm_id: vmId, success: error === null, ...(dryRun && { dry_run: true }), added: added.map(keyRow), removed: gone, kept: kept.map(keyRow), host_key: hostKey, error }
}

function keyRow({ type, blob }: HostKey): object {
  return { type, fingerprint: fingerprint(blob) }
}

async function tell(door: Door, { vmId, rotation, error }: Rotated, dryRun: boolean): Promise<void> {
  if (error) return door.stop.status === undefined ? complain(door, error) : undefined
  if (!rotation) return
  for (const line of linesOf(rotation, dryRun)) await door.stdout.line(printable(`${vmId}: ${line}`))
}

function linesOf({ announced, added, removed, kept, hostKey }: HostKeyRotation, dryRun: boolean): readonly string[] {
  const shown = ({ type, blob }: HostKey): string => `${type} ${fingerprint(blob)}`
  if (!announced) return ['nothing to do, the server announces no keys']
  if (hostKey) return pinLines(hostKey, hostKey.length === kept.length)
  if (added.length + removed.length === 0) return [`nothing to do, its ${kept.length === 1 ? 'key is' : `${kept.length} keys are`} known`]
  return [
    ...added.map((key) => `${dryRun ? 'would add' : 'added'} ${shown(key)}`),
    ...removed.map(({ key, file, line }) => `${dryRun ? 'would remove' : 'removed'} ${shown(key)} (${file}:${line})`),
    ...kept.map((key) => `${dryRun ? 'would keep' : 'kept'} ${shown(key)}`),
  ]
}

/** For the configuration, which is not ours to write. */
function pinLines(keys: readonly string[], areAllPinned: boolean): readonly string[] {
  if (areAllPinned) return ['nothing to do, host_key in the configuration has all its keys']
  return ['nothing was written, host_key in the configuration decides; these are the keys to put there:', 'host_key:', ...keys.map((key) => `  - "${key}"`)]
}
