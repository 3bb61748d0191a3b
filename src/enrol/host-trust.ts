import type { Config, HostConfig } from '../config/types.ts'
import { unlessAborted } from '../core/abort.ts'
import { RemexError, remexError } from '../core/errors.ts'
import { fingerprint, type HostKey } from '../core/host-key.ts'
import type { Dispatcher } from '../fleet/dispatch.ts'
import { readCertAuthorities } from '../keys/cert-authorities.ts'
import { forgetHostKeys, trustHostKeys } from '../keys/enrol-host-key.ts'
import { HostKeyStore, type KnownHostKey } from '../keys/known-hosts.ts'
import { weakness } from '../transport/algorithms.ts'
import type { CertificateCheck, HostCertificate } from '../transport/openssh/host-certificate.ts'
import { certifyOffers, judgeOffers, meantOnes, offerWith, refuseAll, refuseOffer, type OfferedKey } from './host-key-offer.ts'
import { rotateHostKeys, type HostKeyRotation, type RotateOptions } from './host-rotate.ts'

export type { ExpectedKey, OfferedKey } from './host-key-offer.ts'

/** What trusting hosts needs. */
export interface TrustRuntime {
  readonly config: Config
  readonly dispatcher: Pick<Dispatcher, 'step'>
  readonly checkCertificate: CertificateCheck
}

/** How to ask for the keys of a host. */
export interface OfferOptions {
  /**
   * A file with the certificate authorities that may vouch for the host: public keys, or `@cert-authority` lines.
   * Default: those that the known_hosts files have for it. False: nobody is asked to vouch.
   */
  readonly ca?: string | false | undefined
  readonly signal?: AbortSignal | undefined
}

/** Which of the keys a host shows to trust: the one with the fingerprint, or all that are given. `offers` default: the host is asked. */
export type TrustChoice = { readonly fingerprint: string; readonly offers?: readonly OfferedKey[] } | { readonly offers: readonly OfferedKey[] }

/** Host keys of the configuration's hosts: what they show, whom we trust. The policy decides on everything, and the log has it. */
export class HostTrust {
  readonly #runtime: TrustRuntime

  constructor(runtime: TrustRuntime) {
    this.#runtime = runtime
  }

  /**
   * The keys that the host shows now, also behind jumps, compared with `host_key` in the configuration, with the known_hosts files and
   * with the word of certificate authorities. What an authority refuses is in the offers. Rejects where the host cannot be reached;
   * with `USAGE` where an authority cannot be asked: for a host with `host_key`, and behind a jump.
   */
  async offered(vmId: string, { ca, signal }: OfferOptions = {}): Promise<readonly OfferedKey[]> {
    const { config, dispatcher } = this.#runtime
    return dispatcher.step(vmId, { operation: 'host_inspect', signal, facts: factsOf }, async (on) => {
      const { host } = on
      const store = await HostKeyStore.load(config.settings.knownHostsPaths)
      const authorities = await authoritiesFor(host, store, ca)
      const keys = await unlessAborted(on.offeredHostKeys(), signal, 'fetching host keys')
      const offers = judgeOffers(host, keys, store)
      const isSettled = typeof ca !== 'string' && offers.every(({ status }) => status === 'trusted')
      return authorities.length === 0 || isSettled ? offers : this.#certified(host, offers, { authorities, isGiven: typeof ca === 'string', signal })
    })
  }

  /**
   * Trusts keys of the host from now on, in the first known_hosts file; returns those that were new.
   * By fingerprint, exactly that key is trusted: `HOST_KEY_CHANGED` when the host does not show it.
   * An offer that has a refusal is refused with it: forget the old key first. Where one key is vouched for, those beside it that are
   * not are left out.
   */
  async trust(vmId: string, choice: TrustChoice, signal?: AbortSignal): Promise<readonly HostKey[]> {
    const { config, dispatcher } = this.#runtime
    const shown = choice.offers ?? (await this.offered(vmId, { ca: false, signal }))
    const facts = ({ offers }: Trusted): ReturnType<typeof factsOf> => factsOf(offers)
    const about = 'fingerprint' in choice ? [choice.fingerprint] : shown.map((offer) => offer.fingerprint).toSorted()
    const { added } = await dispatcher.step(vmId, { operation: 'host_trust', about, signal, facts }, async ({ host: { address, port } }): Promise<Trusted> => {
      const offers = 'fingerprint' in choice ? [offerWith(vmId, shown, choice.fingerprint)] : meantOnes(shown)
      for (const offer of offers) refuseOffer(vmId, offer)
      const keys = offers.map(({ key }) => key)
      const authorities = offers.flatMap(({ authority }) => authority ?? [])
      return { offers, added: await trustHostKeys(config.settings.knownHostsPaths[0] ?? '', { address, port, keys, authorities }) }
    })
    return added
  }

  /** Forgets all keys of the host in all known_hosts files; returns what was removed. */
  async forget(vmId: string, signal?: AbortSignal): Promise<readonly KnownHostKey[]> {
    const { config, dispatcher } = this.#runtime
    return dispatcher.step(vmId, { operation: 'host_forget', signal, facts: (removed) => ({ host_key: removed.map(({ key }) => fingerprint(key.blob)).join(' ') }) }, ({ host }) =>
      forgetHostKeys(config.settings.knownHostsPaths, { address: host.address, port: host.port }))
  }

  /** Exchanges the known keys of the host for those that it proves to have now, over a connection that it authenticated by a known one. Rejects as connecting does. */
  rotate(vmId: string, options: RotateOptions = {}): Promise<HostKeyRotation> {
    return rotateHostKeys(this.#runtime, vmId, options)
  }

  async #certified(host: HostConfig, offers: readonly OfferedKey[], { authorities, isGiven, signal }: Vouching): Promise<readonly OfferedKey[]> {
    const { id: vmId, address, port, login } = host
    const { connectTimeoutMs } = this.#runtime.config.settings
    let certificate: HostCertificate
    try {
      certificate = await this.#runtime.checkCertificate({ vmId, address, port, login, connectTimeoutMs, authorities }, signal)
    } catch (error) {
      // What it shows is still worth seeing; what could not be asked at all is no word against it.
      if (error instanceof RemexError && error.code === 'HOST_KEY_UNKNOWN') return refuseAll(offers, error)
      throw error
    }
    return certifyOffers(vmId, offers, { ...certificate, authority: isGiven ? certificate.authority : null })
  }
}

interface Trusted {
  readonly offers: readonly OfferedKey[]
  readonly added: readonly HostKey[]
}

interface Vouching {
  readonly authorities: readonly HostKey[]
  /** Whether they are given with the call; else the known_hosts files have them. */
  readonly isGiven: boolean
  readonly signal: AbortSignal | undefined
}

function factsOf(offers: readonly OfferedKey[]): { readonly host_key: string } {
  return { host_key: offers.map((offer) => offer.fingerprint).join(' ') }
}

/** Who may vouch for the host; nobody is needed where the configuration has its key. */
async function authoritiesFor(host: HostConfig, store: HostKeyStore, ca: OfferOptions['ca']): Promise<readonly HostKey[]> {
  const { id: vmId } = host
  if (ca === false || (ca === undefined && host.hostKeys.length > 0)) return []
  if (host.hostKeys.length > 0) throw remexError('USAGE', `${vmId} has its key in the configuration (host_key), so no certificate authority is asked`, { vmId, hint: 'Leave --ca away for it, or take host_key out of the configuration.' })
  const found = ca === undefined ? store.certAuthorities(host).map(({ key }) => key) : await readCertAuthorities(ca, host)
  if (found.length === 0) return []
  if (host.jump !== undefined) {
    throw remexError('USAGE', `${vmId} is behind a jump, where its host certificate cannot be verified`, { vmId, hint: `Compare the fingerprint yourself: remex hosts trust ${vmId} --fingerprint SHA256:…` })
  }
  return soundOnes(host, store, found)
}

function soundOnes(host: HostConfig, store: HostKeyStore, authorities: readonly HostKey[]): readonly HostKey[] {
  const { id: vmId } = host
  const weak = authorities.find((key) => key.type === 'ssh-rsa' && weakness(key.blob) !== undefined)
  if (weak) throw remexError('KEY_UNUSABLE', `the certificate authority ${fingerprint(weak.blob)} for ${vmId} is too weak: ${weakness(weak.blob) ?? ''}`, { vmId, hint: 'Nothing was trusted. The authority needs a new key.' })
  const sound = authorities.filter((key) => !store.revoked(host, key))
  const [revoked] = authorities
  if (sound.length > 0 || !revoked) return sound
  const place = store.revoked(host, revoked)
  throw remexError('HOST_KEY_REVOKED', `the certificate authority ${revoked.type} ${fingerprint(revoked.blob)} for ${vmId} is marked as @revoked${place ? ` by ${place.file}:${place.line}` : ''}`, { vmId, hint: 'Nothing was trusted. The host needs a certificate by another authority.' })
}
