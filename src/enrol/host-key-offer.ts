import type { HostConfig } from '../config/types.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { fingerprint, type HostKey } from '../core/host-key.ts'
import type { HostKeyStore, HostKeyVerdict, KnownFingerprint } from '../keys/known-hosts.ts'
import { parsePinnedHostKey, type PinnedHostKey } from '../keys/pinned-host-key.ts'

/** A key that a host is expected to show. */
export interface ExpectedKey {
  /** Undefined for a fingerprint of the configuration: it does not tell the type. */
  readonly type: string | undefined
  readonly fingerprint: string
  /** `file:line`, or `host_key` of the configuration. */
  readonly place: string
}

/** A key that a host shows, with what is known of it. Nothing is proven by its being shown. */
export interface OfferedKey {
  readonly key: HostKey
  readonly fingerprint: string
  /**
   * What the known_hosts files say. `not_pinned`: the configuration names other keys (`host_key`). `not_certified`: a certificate
   * authority vouches for another key of the host.
   */
  readonly status: HostKeyVerdict['kind'] | 'not_pinned' | 'not_certified'
  /** Who vouches for it, so that nobody needs to be asked. Null: nobody does. */
  readonly vouchedBy: 'host_key' | 'cert_authority' | null
  /** Of a certified key: the authority, where it is to be trusted from now on too. */
  readonly authority: HostKey | null
  /** The keys that it contradicts, and is refused for. */
  readonly expected: readonly ExpectedKey[]
  /** Why it must not be trusted as things are: it contradicts what is known, or is revoked. Null: nothing speaks against it. */
  readonly refusal: RemexError | null
}

/** The keys that a host shows, compared with `host_key` in the configuration, where that is set, else with the known_hosts files. */
export function judgeOffers(host: HostConfig, keys: readonly HostKey[], store: HostKeyStore): readonly OfferedKey[] {
  const pins = host.hostKeys.map(parsePinnedHostKey)
  const verdicts = keys.map((key) => ({ key, verdict: store.check(host.address, host.port, key) }))
  // A host that proves a known key may show further ones; one that proves none of them is another host, perhaps.
  const proven = verdicts.some(({ verdict }) => verdict.kind === 'trusted')
  const offers = verdicts.map((shown) => judgeByFiles(host.id, { ...shown, proven }))
  return pins.length === 0 ? offers : judgeByPins(host.id, offers, pins)
}

/** The offer with this fingerprint. Throws `HOST_KEY_CHANGED` where it is none of them. */
export function offerWith(vmId: string, offers: readonly OfferedKey[], wanted: string): OfferedKey {
  const found = offers.find((offer) => offer.fingerprint === wanted)
  if (found) return found
  throw remexError('HOST_KEY_CHANGED', `${vmId} does not show a key with the fingerprint ${wanted}; it shows ${listed(offers)}`, { vmId, hint: 'Nothing was trusted. Get the fingerprint from the host itself: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' })
}

/** The offers without those that somebody who vouches for the host does not vouch for; all, where nothing else is left. */
export function meantOnes(offers: readonly OfferedKey[]): readonly OfferedKey[] {
  const meant = offers.filter(({ status }) => status !== 'not_pinned' && status !== 'not_certified')
  return meant.length === 0 ? offers : meant
}

/** Throws where the key must not be trusted, with why. */
export function refuseOffer(vmId: string, { key, fingerprint: text, status, refusal }: OfferedKey): void {
  if (refusal) throw refusal
  if (status === 'not_pinned') throw remexError('HOST_KEY_CHANGED', `${vmId} shows ${key.type} ${text}, which host_key in the configuration does not name`, { vmId, hint: PIN_HINT })
  if (status === 'not_certified') throw remexError('HOST_KEY_UNKNOWN', `${vmId} shows ${key.type} ${text}, for which no certificate authority vouches`, { vmId })
}

/** The offers with an authority's word for one of them: the key of the host's certificate. `authority`: as in {@link OfferedKey}. */
export function certifyOffers(vmId: string, offers: readonly OfferedKey[], { fingerprint: certified, authority }: { readonly fingerprint: string; readonly authority: HostKey | null }): readonly OfferedKey[] {
  if (!offers.some((offer) => offer.fingerprint === certified)) {
    const refusal = remexError('HOST_KEY_UNKNOWN', `${vmId} shows a certificate of the key ${certified}, but without it only ${listed(offers)}`, { vmId, hint: 'Nothing was trusted. The host must show the key itself too: HostKey in its sshd_config, of a type that is allowed.' })
    return refuseAll(offers, refusal)
  }
  return offers.map((offer) => {
    if (offer.fingerprint === certified) return { ...offer, vouchedBy: 'cert_authority', authority }
    return offer.status === 'unknown' || (offer.status === 'changed' && !offer.refusal) ? { ...offer, status: 'not_certified' } : offer
  })
}

/** The same offers, none of which is to be trusted. */
export function refuseAll(offers: readonly OfferedKey[], refusal: RemexError): readonly OfferedKey[] {
  return offers.map((offer) => ({ ...offer, refusal: offer.refusal ?? refusal }))
}

interface Shown {
  readonly key: HostKey
  readonly verdict: HostKeyVerdict
  readonly proven: boolean
}

function judgeByFiles(vmId: string, { key, verdict, proven }: Shown): OfferedKey {
  const offer = { key, fingerprint: fingerprint(key.blob), status: verdict.kind, vouchedBy: null, authority: null, expected: [], refusal: null }
  const shown = `${vmId} shows ${key.type} ${offer.fingerprint}`
  if (verdict.kind === 'revoked') return { ...offer, refusal: remexError('HOST_KEY_REVOKED', `${shown}, which ${verdict.file}:${verdict.line} marks as @revoked`, { vmId }) }
  if (verdict.kind !== 'changed') return offer
  const expected = verdict.known.filter((old) => !proven || old.type === key.type).map(expectedKey)
  if (expected.length === 0) return offer
  const known = expected.map((old) => `${old.type} ${old.fingerprint} (${old.place})`).join(', ')
  const refusal = remexError('HOST_KEY_CHANGED', `${shown}, but known is ${known}`, { vmId, hint: `Find out why before anything else. If the change is meant: remex hosts forget ${vmId}, then remex hosts trust ${vmId}` })
  return { ...offer, expected, refusal }
}

function expectedKey({ type, fingerprint: text, file, line }: KnownFingerprint): ExpectedKey & { readonly type: string } {
  return { type, fingerprint: text, place: `${file}:${line}` }
}

const PIN_HINT = 'Find out why before anything else. If the change is meant, give the new key in host_key.'

/** Only the pins count, but what the files revoke stays revoked. */
function judgeByPins(vmId: string, offers: readonly OfferedKey[], pins: readonly PinnedHostKey[]): readonly OfferedKey[] {
  const expected = pins.map(({ type, fingerprint: text }) => ({ type, fingerprint: text, place: 'host_key' }))
  const isPinned = (offer: OfferedKey): boolean => pins.some((pin) => pin.fingerprint === offer.fingerprint)
  const pinned = expected.map(({ type, fingerprint: text }) => (type === undefined ? text : `${type} ${text}`)).join(', ')
  const changed = remexError('HOST_KEY_CHANGED', `${vmId} shows ${listed(offers)}, but host_key in the configuration is ${pinned}`, { vmId, hint: PIN_HINT })
  const isAnother = !offers.some(isPinned)
  return offers.map((offer) => {
    if (offer.status === 'revoked') return offer
    if (isPinned(offer)) return { ...offer, status: offer.status === 'trusted' ? 'trusted' : 'unknown', vouchedBy: 'host_key', expected: [], refusal: null }
    return { ...offer, status: 'not_pinned', expected: isAnother ? expected : [], refusal: isAnother ? changed : null }
  })
}

function listed(offers: readonly OfferedKey[]): string {
  return offers.map(({ key, fingerprint: text }) => `${key.type} ${text}`).join(', ') || 'none'
}
