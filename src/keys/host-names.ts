import { createHmac } from 'node:crypto'
import { isIPv6, SocketAddress } from 'node:net'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** Where a host is reached. */
export interface HostAddress {
  /** Name or IP address, without brackets. */
  readonly address: string
  readonly port: number
}

const SSH_PORT = 22
/** A longer pattern matches nothing, as in OpenSSH (`match_pattern_list`). */
const MAX_PATTERN_LENGTH = 1022
/** `|1|salt|hash`, both of 20 bytes in base64. Source: OpenSSH `host_hash`. */
const HASHED = /^\|1\|([A-Za-z0-9+/]{27}=)\|([A-Za-z0-9+/]{27}=)$/

/**
 * The name under which known_hosts files know a host, one character per byte (latin1): `address` for port 22, `[address]:port`
 * for any other; in lower case, an IPv6 address in its shortest form, as OpenSSH looks it up.
 */
export function lookupName({ address, port }: HostAddress): string {
  const name = lowerCase(Buffer.from(canonical(address), 'utf8').toString('latin1'))
  return port === SSH_PORT ? name : `[${name}]:${port}`
}

/** The name of the same host at port 22. OpenSSH takes a key known under it where nothing is known for another port. */
export function plainName({ address }: HostAddress): string {
  return lookupName({ address, port: SSH_PORT })
}

/** Throws `USAGE` for an address that could not be written into a known_hosts file without meaning something else. */
export function refuseUnsafeAddress({ address, port }: HostAddress): void {
  const isSafe = !/[\s,*?!|#@[\]\u0000-\u001f\u007f]/.test(address) && address !== ''
  if (isSafe && Number.isInteger(port) && port > 0 && port < 65_536) return
  throw remexError('USAGE', `"${printable(address)}" port ${port} is not an address that a known_hosts file can name`)
}

function canonical(address: string): string {
  // SocketAddress drops a zone (fe80::1%eth0), and OpenSSH keeps it.
  return isIPv6(address) && !address.includes('%') ? new SocketAddress({ address, family: 'ipv6' }).address : address
}

/** ASCII only: the bytes of another encoding stay what they are. */
function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** Whether `names` can be the names of a known_hosts line: a hashed name that is one, or anything else. */
export function isNameField(names: string): boolean {
  return names.startsWith('|') ? HASHED.test(names) : names !== ''
}

/**
 * Whether a line with these `names` speaks of `host`, a {@link lookupName}: by hash, or by a pattern that matches
 * while no negated one does.
 */
export function matchesNames(names: string, host: string): boolean {
  if (names.startsWith('|')) return matchesHash(names, host)
  let matches = false
  for (const pattern of splitNames(names)) {
    const negated = pattern.startsWith('!')
    if (pattern.length > MAX_PATTERN_LENGTH) return false
    if (!matchesPattern(negated ? pattern.slice(1) : pattern, host)) continue
    if (negated) return false
    matches = true
  }
  return matches
}

/**
 * The names of a line as they are looked up, where it has plain names alone: it speaks of a host exactly when that is one of them.
 * Undefined for a line with patterns, negations or a hashed name, which has to be asked for every host.
 */
export function plainNames(names: string): readonly string[] | undefined {
  if (names.startsWith('|') || /[*?!]/.test(names)) return undefined
  const plain = splitNames(names)
  return plain.some((name) => name.length > MAX_PATTERN_LENGTH) ? undefined : plain.map(lowerCase)
}

/**
 * `names` without `host` itself, a {@link lookupName}: the same text where it is not among them, and empty where nothing is left
 * that could match any host. Patterns that match it stay.
 */
export function namesWithout(names: string, host: string): string {
  if (names.startsWith('|')) return matchesHash(names, host) ? '' : names
  const before = splitNames(names)
  const after = before.filter((name) => lowerCase(name) !== host)
  if (after.length === before.length) return names
  return after.every((name) => name.startsWith('!')) ? '' : after.join(',')
}

function splitNames(names: string): readonly string[] {
  return names.split(',').filter((name) => name !== '')
}

function matchesHash(names: string, host: string): boolean {
  const [, salt, hash] = HASHED.exec(names) ?? []
  if (salt === undefined) return false
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(host, 'latin1').digest('base64') === hash
}

/**
 * Whether the whole of `host` is what `pattern` describes: `*` is any characters, `?` is one, all others are themselves
 * in either case. Goes back to the last `*` only, so that no pattern takes more than the product of both lengths.
 */
export function matchesPattern(pattern: string, host: string): boolean {
  const wanted = lowerCase(pattern)
  let at = 0
  let star = -1
  let resume = 0
  for (let index = 0; index < host.length; ) {
    if (wanted[at] === '*') {
      star = at++
      resume = index
    } else if (wanted[at] === '?' || wanted[at] === host[index]) {
      at++
      index++
    } else if (star >= 0) {
      at = star + 1
      index = ++resume
    } else {
      return false
    }
  }
  while (wanted[at] === '*') at++
  return at === wanted.length
}
