import { remexError } from '../core/errors.ts'
import { parseHostKey, type HostKey } from '../core/host-key.ts'
import { printable } from '../core/printable.ts'
import { lookupName, matchesNames, type HostAddress } from './host-names.ts'
import { parseKnownHostsLine } from './known-hosts-line.ts'
import { readRegularFile } from '../core/regular-file.ts'

/** More than any list of authorities has. */
const MAX_AUTHORITIES_BYTES = 1024 * 1024

/**
 * The certificate authorities in the file at `path` that may vouch for the host: public keys, one on each line, as `.pub` files have
 * them, for any host; and `@cert-authority` lines, as known_hosts files have them, for the hosts that they name.
 * Throws `LOCAL_NOT_FOUND`, `PERMISSION_DENIED`, and `USAGE` for a file with anything else in it or without an authority for the host.
 */
export async function readCertAuthorities(path: string, host: HostAddress): Promise<readonly HostKey[]> {
  const found = (await linesOf(path)).flatMap((line, index) => {
    const text = line.trim()
    return text === '' || text.startsWith('#') ? [] : authorityOn(text, host, `${path}:${index + 1}`)
  })
  if (found.length > 0) return found
  throw remexError('USAGE', `${printable(path)} has no certificate authority for ${printable(host.address)} port ${host.port}`, { hint: HINT })
}

async function linesOf(path: string): Promise<readonly string[]> {
  const reading = await readRegularFile(path, MAX_AUTHORITIES_BYTES)
  if (reading.kind === 'read') return reading.data.toString('latin1').split('\n')
  if (reading.kind === 'missing') throw remexError('LOCAL_NOT_FOUND', `${printable(path)} is not there`)
  throw remexError(reading.kind === 'denied' ? 'PERMISSION_DENIED' : 'USAGE', `${printable(path)} cannot be read: ${reading.reason}`)
}

/** What cannot be understood is not shown: it may be a private key. */
function authorityOn(text: string, host: HostAddress, place: string): readonly HostKey[] {
  const key = parseHostKey(text)
  if (key) return [key]
  const line = parseKnownHostsLine(text)
  if (line.kind === 'entry' && line.marker === 'cert-authority') return matchesNames(line.names, lookupName(host)) ? [line.key] : []
  throw remexError('USAGE', `${printable(place)} is neither a public key nor an @cert-authority line`, { hint: HINT })
}

const HINT = 'Give the public half of the key that signs the host keys, ca.pub: type and base64 on one line.'
