import { asRemexError, ERRORS, remexError, withDetails } from '../../core/errors.ts'
import { foldIds } from '../../core/fold.ts'
import { fingerprint } from '../../core/host-key.ts'
import { printable } from '../../core/printable.ts'
import type { Remex } from '../../remex.ts'
import { complain } from '../complaint.ts'
import { printJson, withRemex, type Door } from '../door.ts'
import { askYes, requireTerminal } from '../question.ts'
import { groupStatus, tellLeftOut } from '../run-report.ts'

/** The options of `hosts forget`. */
export interface ForgetFlags {
  readonly yes?: boolean
}

/** `remex hosts forget`. */
export async function forgetHosts(door: Door, targets: string, { yes }: ForgetFlags): Promise<number> {
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    tellLeftOut(door, group)
    if (!yes) {
      requireTerminal(door, 'whether to forget keys', 'Give --yes to forget them without being asked.')
      if (!(await askYes(door, `Forget the keys of ${foldIds(group.ids)}?`))) throw remexError('CANCELLED', 'no key was forgotten', { hint: '' })
    }
    const statuses: number[] = []
    for (const vmId of group.ids) statuses.push(await forgetOne(door, remex, vmId))
    return groupStatus(statuses)
  })
}

async function forgetOne(door: Door, remex: Remex, vmId: string): Promise<number> {
  try {
    const removed = await remex.trust.forget(vmId, door.stop.signal)
    const keys = removed.map(({ key, file, line }) => ({ type: key.type, fingerprint: fingerprint(key.blob), file, line }))
    if (door.globals.json) await printJson(door, { vm_id: vmId, success: true, keys, error: null })
    else for (const { type, fingerprint: text, file, line } of keys) await door.stdout.line(printable(`${vmId}: forgot ${type} ${text} (${file}:${line})`))
    if (keys.length === 0 && !door.globals.json) await door.stdout.line(`${vmId}: no key was known`)
    return 0
  } catch (error) {
    const known = withDetails(asRemexError(error), { vmId })
    if (door.globals.json) await printJson(door, { vm_id: vmId, success: false, keys: [], error: known })
    else complain(door, known)
    return ERRORS[known.code].exitStatus
  }
}
