/** What `ssh -v` says of a host's certificate. Only `valid` may be relied on; the others are for messages. */
export type CertificateVerdict =
  /** Of the host's key with this fingerprint; `line` of the file has the authority, counted from 1. */
  | { readonly kind: 'valid'; readonly fingerprint: string; readonly line: number }
  /** An authority of the file signed it, but it is not for now or not for this host. */
  | { readonly kind: 'invalid'; readonly reason: string }
  /** Somebody else signed it: `ssh-ed25519 SHA256:…`. */
  | { readonly kind: 'untrusted'; readonly authority: string }
  | { readonly kind: 'none' }
  /** It did not come to a certificate. `said` is the last that ssh said. */
  | { readonly kind: 'failed'; readonly said: string }

const CERTIFICATE = /^debug1: Server host certificate: \S+ (SHA256:[A-Za-z0-9+/]{43}), serial /
const AUTHORITY = /" CA (\S+ SHA256:[A-Za-z0-9+/]{43}) valid /
const DONE = 'debug1: SSH2_MSG_NEWKEYS sent'
const INVALID = 'Certificate invalid: '

/**
 * Reads what `ssh -v` printed so far, where `file` is the name of the known_hosts file with the authorities.
 *
 * A server can make ssh print lines of its own making, line breaks included: by debug messages during the key exchange, and by the
 * key id of a certificate that it signed itself. So this relies on one line only that it cannot make, for it cannot guess `file`:
 * ssh prints it when the signature on the certificate is that of an authority of the file. It prints it before it looks at dates and
 * names, though, just as the line `… is known and matches the … host certificate`. Whether it was content with those, and with the
 * host's signature over the key exchange, is shown by what it does next, before it reads anything more from the server: it goes on
 * to new keys, or gives up. Source: OpenSSH sshconnect.c, check_host_key; kexgen.c, input_kex_gen_reply.
 */
export function readTranscript(text: string, file: string): CertificateVerdict {
  const lines = text.split('\n').slice(0, -1).map((line) => line.replace(/\r$/, ''))
  const found = lines.findLastIndex((line) => line.startsWith(`debug1: Found CA key in ${file}:`))
  if (found === -1) return withoutAuthority(lines)
  const after = lines.slice(found + 1)
  const invalid = after.find((line) => line.startsWith(INVALID))
  if (invalid !== undefined) return { kind: 'invalid', reason: invalid.slice(INVALID.length) }
  const certificate = lines.slice(0, found).findLast((line) => CERTIFICATE.test(line))
  const [, fingerprint] = CERTIFICATE.exec(certificate ?? '') ?? []
  const line = Number(lines[found]?.slice(lines[found].lastIndexOf(':') + 1))
  if (fingerprint === undefined || !after.includes(DONE)) return { kind: 'failed', said: lines.at(-1) ?? '' }
  return { kind: 'valid', fingerprint, line }
}

function withoutAuthority(lines: readonly string[]): CertificateVerdict {
  const authority = lines.map((line) => AUTHORITY.exec(line)?.[1]).findLast((found) => found !== undefined)
  if (authority !== undefined) return { kind: 'untrusted', authority }
  if (lines.some((line) => /no matching host key type found/.test(line))) return { kind: 'none' }
  return { kind: 'failed', said: lines.at(-1) ?? '' }
}
