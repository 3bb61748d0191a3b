import { remexError, type RemexError } from '../core/errors.ts'
import { fingerprint, formatHostKey, parseHostKey, type HostKey } from '../core/host-key.ts'
import { printable } from '../core/printable.ts'
import { quoteWord } from '../core/quote.ts'
import type { HostAddress } from './host-names.ts'
import type { HostKeyStore, HostKeyVerdict, KnownFingerprint, Place } from './known-hosts.ts'
import { parsePinnedHostKey, type PinnedHostKey } from './pinned-host-key.ts'

/** A host, and what vouches for its key. */
export interface HostKeySources extends HostAddress {
  /** Fingerprints or public keys of the configuration (`host_key`). Where there are any, only they are trusted. */
  readonly pinned: readonly string[]
  readonly store: HostKeyStore
}

/** A host by its id, and what vouches for its key. */
export interface HostKeyExpectation extends HostKeySources {
  /** The host's id, for messages. */
  readonly vmId: string
}

/** More keys than a person would compare are only counted. */
const MAX_SHOWN = 4

/**
 * Judges the key that a host shows: the function returns for a trusted key and throws `HOST_KEY_UNKNOWN`, `HOST_KEY_CHANGED` or
 * `HOST_KEY_REVOKED` for any other, with the fingerprints and the commands to go on with.
 * Pinned keys take the place of the known_hosts files, but what these revoke stays revoked.
 * Throws `CONFIG_INVALID` at once for a pinned key that is none.
 */
export function hostKeyVerifier(expected: HostKeyExpectation): (key: HostKey) => void {
  const pinned = expected.pinned.map(parsePinnedHostKey)
  return (key) => {
    const verdict = expected.store.check(expected.address, expected.port, key)
    if (verdict.kind === 'revoked') throw revoked(expected, key, verdict)
    if (pinned.length > 0) refuseUnpinned(expected, key, pinned)
    else refuseUntrusted(expected, key, verdict)
  }
}

/**
 * The keys that are known for the host and not revoked, each once: the pinned ones, where there are any, else those of the known_hosts
 * files, in their order. Of a pinned fingerprint the key is known only where a known_hosts file has it; without, it is left out.
 * Throws `CONFIG_INVALID` for a pinned key that is none.
 */
export function knownHostKeys(sources: HostKeySources): readonly HostKey[] {
  const known = sources.store.known(sources).map(({ key }) => key)
  if (sources.pinned.length === 0) return trusted(known, sources)
  const pinned = sources.pinned.map((text) => {
    const pin = parsePinnedHostKey(text).fingerprint
    return parseHostKey(text) ?? known.find(({ blob }) => fingerprint(blob) === pin)
  })
  return trusted(pinned.filter((key) => key !== undefined), sources)
}

/** The pinned fingerprints of which no file has the key, neither as known nor as revoked. */
export function bareFingerprints(sources: HostKeySources): readonly string[] {
  const keys = [...sources.store.known(sources).map(({ key }) => key), ...revokedHostKeys(sources)]
  const known = new Set(keys.map(({ blob }) => fingerprint(blob)))
  return sources.pinned.map(parsePinnedHostKey).flatMap((pin) => (pin.type === undefined && !known.has(pin.fingerprint) ? [pin.fingerprint] : []))
}

/** The keys of the authorities whose certificates count for the host, without revoked ones; none where its own keys are pinned. */
export function certAuthoritiesOf(sources: HostKeySources): readonly HostKey[] {
  return sources.pinned.length > 0 ? [] : trusted(sources.store.certAuthorities(sources).map(({ key }) => key), sources)
}

/** The keys, of hosts and of authorities, that known_hosts files revoke for the host, at its port or by its name alone. */
export function revokedHostKeys({ store, address, port }: HostKeySources): readonly HostKey[] {
  return unique(store.revocations({ address, port }).map(({ key }) => key))
}

function trusted(keys: readonly HostKey[], { store, address, port }: HostKeySources): readonly HostKey[] {
  return unique(keys.filter((key) => !store.revoked({ address, port }, key)))
}

function unique(keys: readonly HostKey[]): readonly HostKey[] {
  return [...new Map(keys.map((key) => [formatHostKey(key), key])).values()]
}

function refuseUnpinned(expected: HostKeyExpectation, key: HostKey, pinned: readonly PinnedHostKey[]): void {
  const shown = fingerprint(key.blob)
  if (pinned.some((pin) => pin.fingerprint === shown)) return
  const pins = list(pinned, (pin) => (pin.type === undefined ? pin.fingerprint : `${pin.type} ${pin.fingerprint}`))
  throw remexError('HOST_KEY_CHANGED', `${showing(expected, key)}, but host_key in the configuration is ${pins}`, {
    hint: `Find out why before anything else. ${pinnedAdvice(key, pinned)}If the change is meant, give the new key in host_key.`,
    vmId: expected.vmId,
  })
}

function pinnedAdvice({ type }: HostKey, pinned: readonly PinnedHostKey[]): string {
  if (pinned.every((pin) => pin.type !== undefined)) return ''
  return `If the fingerprint is of a key of another type than ${printable(type)}, give that public key in its place. `
}

function refuseUntrusted(expected: HostKeyExpectation, key: HostKey, verdict: Exclude<HostKeyVerdict, { kind: 'revoked' }>): void {
  if (verdict.kind === 'unknown') throw unknown(expected, key, verdict.certAuthorities)
  if (verdict.kind === 'changed') throw changed(expected, key, verdict.known)
}

function unknown(expected: HostKeyExpectation, key: HostKey, [authority]: readonly Place[]): RemexError {
  const { vmId, store } = expected
  const trust = `remex hosts trust ${word(vmId)} --fingerprint ${fingerprint(key.blob)}`
  const hint = authority
    ? `${place(authority)} names a certificate authority for it, of which it shows no certificate, or is not asked for one (engine: ssh2): have its key signed, or: ${trust}`
    : `Compare the fingerprint with the host’s own (there: ssh-keygen -lf /etc/ssh/ssh_host_<type>_key.pub), then: ${trust}`
  return remexError('HOST_KEY_UNKNOWN', `${showing(expected, key)}, and no key is known for it${malformedNote(store)}`, { hint, vmId })
}

function malformedNote({ malformed: { count, first } }: HostKeyStore): string {
  if (!first) return ''
  const rest = count === 1 ? '' : ` and ${count - 1} more`
  return ` (lines that cannot be understood are skipped: ${place(first)}${rest})`
}

function changed(expected: HostKeyExpectation, key: HostKey, known: readonly KnownFingerprint[]): RemexError {
  const vm = word(expected.vmId)
  const renew = `remex hosts forget ${vm}, then remex hosts trust ${vm} --fingerprint ${fingerprint(key.blob)}`
  return remexError('HOST_KEY_CHANGED', `${showing(expected, key)}, but known is ${list(known, describe)}`, {
    hint: `Somebody may be in between: find out why before anything else. If the change is meant: ${renew}`,
    vmId: expected.vmId,
  })
}

function revoked(expected: HostKeyExpectation, key: HostKey, line: Place): RemexError {
  return remexError('HOST_KEY_REVOKED', `${showing(expected, key)}, which ${place(line)} marks as @revoked`, { vmId: expected.vmId })
}

/** `ssh-ed25519 SHA256:… (/home/ada/.ssh/known_hosts:3)` */
function describe(known: KnownFingerprint): string {
  return `${printable(known.type)} ${known.fingerprint} (${place(known)})`
}

function showing({ vmId, address, port }: HostKeyExpectation, key: HostKey): string {
  return `${printable(vmId)} (${printable(address)} port ${port}) shows the key ${printable(key.type)} ${fingerprint(key.blob)}`
}

function place({ file, line }: Place): string {
  return `${printable(file)}:${line}`
}

function word(vmId: string): string {
  return printable(quoteWord(vmId))
}

function list<T>(items: readonly T[], show: (item: T) => string): string {
  const more = items.length - MAX_SHOWN
  return items.slice(0, MAX_SHOWN).map(show).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
