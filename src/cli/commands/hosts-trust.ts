import { asRemexError, ERRORS, remexError, withDetails } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import type { OfferedKey } from '../../enrol/host-trust.ts'
import type { Remex } from '../../remex.ts'
import { complain } from '../complaint.ts'
import { printJson, withRemex, type Door } from '../door.ts'
import { askYes, requireTerminal } from '../question.ts'
import { groupStatus, tellLeftOut } from '../run-report.ts'

/** The options of `hosts trust`. */
export interface TrustFlags {
  readonly fingerprint?: string
  readonly ca?: string
  readonly yes?: boolean
}

interface Trusting {
  readonly door: Door
  readonly remex: Remex
  readonly wanted: string | undefined
  readonly ca: string | undefined
  readonly yes: boolean
}

/** `remex hosts trust`: one host after another, for each may ask. */
export async function trustHosts(door: Door, targets: string, flags: TrustFlags): Promise<number> {
  const wanted = flags.fingerprint
  if (wanted !== undefined && flags.ca !== undefined) throw remexError('USAGE', '--fingerprint and --ca do not go together', { hint: 'The one trusts exactly this key, the other what the certificate authority vouches for.' })
  return withRemex(door, async (remex) => {
    const group = remex.hosts(targets)
    tellLeftOut(door, group)
    if (wanted !== undefined && group.ids.length > 1) throw remexError('USAGE', `--fingerprint is for one host; ${group.ids.length} are selected`)
    const statuses: number[] = []
    for (const vmId of group.ids) {
      if (door.stop.signal.aborted) break
      statuses.push(await trustOne({ door, remex, wanted, ca: flags.ca, yes: flags.yes === true }, vmId))
    }
    return groupStatus(statuses)
  })
}

async function trustOne(trusting: Trusting, vmId: string): Promise<number> {
  const { door, remex, wanted, ca } = trusting
  let offered: readonly OfferedKey[] = []
  try {
    offered = await remex.trust.offered(vmId, { ca: wanted === undefined ? ca : false, signal: door.stop.signal })
    await decideAndTrust(trusting, vmId, offered)
    return 0
  } catch (error) {
    const known = withDetails(asRemexError(error), { vmId })
    if (door.globals.json) await printJson(door, { vm_id: vmId, success: false, keys: [], offered: offered.map(offeredRow), error: known })
    else if (door.stop.status === undefined) complain(door, known)
    return ERRORS[known.code].exitStatus
  }
}

function offeredRow({ key, fingerprint, status }: OfferedKey): object {
  return { type: key.type, fingerprint, status }
}

async function decideAndTrust({ door, remex, wanted, yes }: Trusting, vmId: string, offered: readonly OfferedKey[]): Promise<void> {
  const { signal } = door.stop
  if (wanted !== undefined) {
    const added = await remex.trust.trust(vmId, { fingerprint: wanted, offers: offered }, signal)
    return tellTrusted(door, vmId, { fingerprints: [wanted], added: added.length })
  }
  if (!door.globals.json) await showOffered(door, vmId, offered)
  const refused = offered.find((offer) => offer.refusal)?.refusal
  if (refused) throw refused
  const meant = offered.filter(({ status }) => status !== 'not_pinned' && status !== 'not_certified')
  const fresh = meant.filter(({ status, authority }) => status !== 'trusted' || authority)
  const unvouched = fresh.filter(({ vouchedBy }) => vouchedBy === null).length
  if (unvouched > 0 && !yes) await ask(door, vmId, unvouched)
  const added = fresh.length === 0 ? [] : await remex.trust.trust(vmId, { offers: fresh }, signal)
  await tellTrusted(door, vmId, { fingerprints: meant.map(({ fingerprint }) => fingerprint), added: added.length })
}

async function ask(door: Door, vmId: string, count: number): Promise<void> {
  requireTerminal(door, 'whether to trust a key', 'Give --fingerprint SHA256:… (the host’s own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), --ca with the authority that signed it, or --yes to trust whoever answers.')
  if (await askYes(door, `Trust ${count === 1 ? 'this new key' : 'these new keys'} of ${vmId}?`)) return
  throw remexError('CANCELLED', 'no key was trusted', { vmId, hint: '' })
}

/** Each key with those that it contradicts right below, so that they can be compared. */
async function showOffered(door: Door, vmId: string, offered: readonly OfferedKey[]): Promise<void> {
  const width = Math.max(...offered.flatMap(({ key, expected }) => [key.type, ...expected.map(({ type = '' }) => type)]).map((type) => type.length))
  const show = (type: string, fingerprint: string, what: string): void | Promise<void> => door.stdout.line(printable(`${vmId} ${type.padEnd(width)} ${fingerprint} (${what})`))
  for (const offer of offered) {
    await show(offer.key.type, offer.fingerprint, stateOf(offer))
    for (const { type = '', fingerprint, place } of offer.expected) await show(type, fingerprint, `known until now, ${place}`)
  }
}

function stateOf({ status, refusal, vouchedBy, expected }: OfferedKey): string {
  if (status === 'revoked') return 'revoked'
  if (expected.length > 0) return 'changed'
  if (status === 'not_pinned') return 'not pinned'
  if (status === 'not_certified') return 'not certified'
  if (vouchedBy === 'cert_authority' && !refusal) return 'certified'
  if (vouchedBy === 'host_key') return 'pinned'
  return status === 'trusted' ? 'known' : 'new'
}

async function tellTrusted(door: Door, vmId: string, { fingerprints, added }: { fingerprints: readonly string[]; added: number }): Promise<void> {
  if (door.globals.json) await printJson(door, { vm_id: vmId, success: true, keys: fingerprints, added, error: null })
  else if (!door.globals.quiet) await door.stdout.line(added === 0 ? `${vmId}: nothing new, it is trusted already` : `${vmId}: trusted from now on (${added} new ${added === 1 ? 'key' : 'keys'})`)
}
