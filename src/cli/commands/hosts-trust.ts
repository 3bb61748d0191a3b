import { unlessAborted } from '../../core/abort.ts'
import { asRemexError, ERRORS, remexError, withDetails } from '../../core/errors.ts'
import { parseFingerprint } from '../../core/host-key.ts'
import { printable } from '../../core/printable.ts'
import type { OfferedKey } from '../../enrol/host-trust.ts'
import type { Remex } from '../../remex.ts'
import { complain } from '../complaint.ts'
import { printJson, withRemex, type Door } from '../door.ts'
import { askYes, requireTerminal } from '../question.ts'
import { groupStatus, tellLeftOut } from '../run-report.ts'
import { shown } from '../values.ts'

/** The options of `hosts trust`. */
export interface TrustFlags {
  readonly fingerprint?: string
  readonly yes?: boolean
}

interface Trusting {
  readonly door: Door
  readonly remex: Remex
  readonly wanted: string | undefined
  readonly yes: boolean
}

/** `remex hosts trust`: one host after another, for each may ask. */
export async function trustHosts(door: Door, targets: string, flags: TrustFlags): Promise<number> {
  const wanted = flags.fingerprint === undefined ? undefined : parseFingerprint(flags.fingerprint)
  if (flags.fingerprint !== undefined && wanted === undefined) {
    throw remexError('USAGE', `--fingerprint: ${shown(flags.fingerprint)} is no fingerprint`, { hint: 'It begins with SHA256: and has 43 characters more, as ssh-keygen -l prints it.' })
  }
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    tellLeftOut(door, group)
    if (wanted !== undefined && group.ids.length > 1) throw remexError('USAGE', `--fingerprint is for one host; ${group.ids.length} are selected`)
    if (wanted === undefined && !flags.yes) requireTerminal(door, 'whether to trust a key', 'Give --fingerprint SHA256:… (the host’s own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), or --yes to trust whoever answers.')
    const statuses: number[] = []
    for (const vmId of group.ids) {
      if (door.stop.signal.aborted) break
      statuses.push(await trustOne({ door, remex, wanted, yes: flags.yes === true }, vmId))
    }
    return groupStatus(statuses)
  })
}

async function trustOne(trusting: Trusting, vmId: string): Promise<number> {
  const { door } = trusting
  try {
    return await decideAndTrust(trusting, vmId)
  } catch (error) {
    const known = withDetails(asRemexError(error), { vmId })
    if (door.globals.json) await printJson(door, { vm_id: vmId, success: false, keys: [], error: known })
    else if (door.stop.status === undefined) complain(door, known)
    return ERRORS[known.code].exitStatus
  }
}

async function decideAndTrust({ door, remex, wanted, yes }: Trusting, vmId: string): Promise<number> {
  if (wanted !== undefined) {
    const added = await remex.trust.trust(vmId, { fingerprint: wanted })
    await tellTrusted(door, vmId, { fingerprints: [wanted], added: added.length })
    return 0
  }
  const offered = await unlessAborted(remex.trust.offered(vmId), door.stop.signal, 'fetching host keys')
  if (!door.globals.json) await showOffered(door, vmId, offered)
  const refused = offered.find((offer) => offer.refusal)?.refusal
  if (refused) throw refused
  const fresh = offered.filter((offer) => offer.status !== 'trusted')
  if (fresh.length > 0 && !yes && !(await askYes(door, `Trust ${fresh.length === 1 ? 'this new key' : 'these new keys'} of ${vmId}?`))) {
    throw remexError('CANCELLED', 'no key was trusted', { vmId, hint: '' })
  }
  const added = fresh.length === 0 ? [] : await remex.trust.trust(vmId, { offers: fresh })
  await tellTrusted(door, vmId, { fingerprints: offered.map((offer) => offer.fingerprint), added: added.length })
  return 0
}

async function showOffered(door: Door, vmId: string, offered: readonly OfferedKey[]): Promise<void> {
  for (const { key, fingerprint: text, status, refusal } of offered) {
    const known = status === 'trusted' ? 'known' : status === 'revoked' ? 'revoked' : refusal ? 'changed' : 'new'
    await door.stdout.line(printable(`${vmId} ${key.type} ${text} (${known})`))
  }
}

async function tellTrusted(door: Door, vmId: string, { fingerprints, added }: { fingerprints: readonly string[]; added: number }): Promise<void> {
  if (door.globals.json) await printJson(door, { vm_id: vmId, success: true, keys: fingerprints, added, error: null })
  else if (!door.globals.quiet) await door.stdout.line(added === 0 ? `${vmId}: nothing new, it is trusted already` : `${vmId}: trusted from now on (${added} new ${added === 1 ? 'key' : 'keys'})`)
}
