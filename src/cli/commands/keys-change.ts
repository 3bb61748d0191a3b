import { remexError } from '../../core/errors.ts'
import { foldIds } from '../../core/fold.ts'
import type { HardeningReport } from '../../enrol/hardening.ts'
import type { RevocationReport } from '../../enrol/key-revocation.ts'
import type { RotationReport } from '../../enrol/key-rotation.ts'
import { withRemex, type Door } from '../door.ts'
import { parallelOf, reportKeyWork } from '../key-report.ts'
import { askYes, requireTerminal } from '../question.ts'

/** The options of what changes keys on many hosts. */
export interface ChangeFlags {
  readonly parallel?: number
}

/** The options of what is asked first. */
export interface SureFlags extends ChangeFlags {
  readonly yes?: boolean
}

/** The options of `keys revoke`. */
export interface RevokeFlags extends SureFlags {
  readonly fingerprint?: string
}

/** `remex keys rotate`. */
export async function rotateKeys(door: Door, targets: string, { parallel }: ChangeFlags): Promise<number> {
  return withRemex(door, (remex) =>
    reportKeyWork<RotationReport>(door, remex.hosts(targets), {
      parallel: parallelOf(remex, parallel),
      work: (vmId, onStep) => remex.keys.rotate(vmId, { onStep, signal: door.stop.signal }),
      done: ({ fingerprint, rotated }) => (rotated ? `rotated: the key ${fingerprint} opens it` : `another process has just rotated it: the key ${fingerprint} opens it`),
      json: ({ fingerprint, previous, removed, rotated }) => ({ fingerprint, previous, removed, rotated }),
    }),
  )
}

/** `remex keys revoke`. */
export async function revokeKeys(door: Door, targets: string, { fingerprint, yes, parallel }: RevokeFlags): Promise<number> {
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    const what = fingerprint === undefined ? `the keys by which remex logs in to ${foldIds(group.ids)}` : `the key ${fingerprint} on ${foldIds(group.ids)}`
    await beSure(door, { yes, question: `Revoke ${what}?` })
    return reportKeyWork<RevocationReport>(door, group, {
      parallel: parallelOf(remex, parallel),
      work: (vmId, onStep) => remex.keys.revoke(vmId, { fingerprint, onStep, signal: door.stop.signal }),
      done: ({ removed, own }) => (removed === 0 ? 'nothing to do: it had no such key' : own ? 'revoked: the key was put aside; a new one: remex keys setup' : 'revoked'),
      json: ({ fingerprint: key, removed, own }) => ({ fingerprint: key, removed, own }),
    })
  })
}

/** `remex keys harden`. */
export async function hardenHosts(door: Door, targets: string, { yes, parallel }: SureFlags): Promise<number> {
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    await beSure(door, { yes, question: `Let the sshd of ${foldIds(group.ids)} accept keys alone, from everybody?` })
    return reportKeyWork<HardeningReport>(door, group, {
      parallel: parallelOf(remex, parallel),
      work: (vmId, onStep) => remex.keys.harden(vmId, { onStep, signal: door.stop.signal }),
      done: ({ changed }) => (changed ? 'hardened' : 'nothing to do: it was hardened before'),
      json: ({ changed, methods }) => ({ changed, methods }),
    })
  })
}

/** `remex keys prune`. */
export async function pruneKeys(door: Door, targets: string | undefined, { yes }: SureFlags): Promise<number> {
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets ?? 'all')
    await beSure(door, { yes, question: `Destroy the old keys of ${foldIds(group.ids)} that were put aside?` })
    return reportKeyWork<readonly string[]>(door, group, {
      parallel: 1,
      work: (vmId) => remex.keys.prune(vmId, { signal: door.stop.signal }),
      done: (destroyed) => (destroyed.length === 0 ? 'nothing was put aside' : `destroyed ${destroyed.join(', ')}`),
      json: (destroyed) => ({ destroyed }),
    })
  })
}

async function beSure(door: Door, { yes, question }: { readonly yes: boolean | undefined; readonly question: string }): Promise<void> {
  if (yes) return
  requireTerminal(door, 'whether to go on', 'Give --yes to go on without being asked.')
  if (!(await askYes(door, question))) throw remexError('CANCELLED', 'nothing was changed', { hint: '' })
}
