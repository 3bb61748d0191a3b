import { remexError } from '../core/errors.ts'
import { fingerprint, parseFingerprint, parseHostKey } from '../core/host-key.ts'
import { printable } from '../core/printable.ts'

/** A key that the configuration vouches for (`host_key`). */
export interface PinnedHostKey {
  /** In the form of `fingerprint()`. */
  readonly fingerprint: string
  /** Undefined where only the fingerprint is given: it does not tell the type. */
  readonly type: string | undefined
}

/**
 * The pinned key in `text`: a `SHA256:` fingerprint, or a public key (`type base64`, with or without a comment).
 * Throws `CONFIG_INVALID` for anything else.
 */
export function parsePinnedHostKey(text: string): PinnedHostKey {
  const fromText = parseFingerprint(text)
  if (fromText !== undefined) return { fingerprint: fromText, type: undefined }
  const key = parseHostKey(text)
  if (key) return { fingerprint: fingerprint(key.blob), type: key.type }
  throw remexError('CONFIG_INVALID', `host_key "${printable(text.slice(0, 100))}" is neither a SHA256: fingerprint nor a public key`, {
    hint: 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the host shows its fingerprint.',
  })
}
