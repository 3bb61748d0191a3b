import type { ParsedKey } from 'ssh2'
import type { RemexError } from '../../core/errors.ts'
import type { PrivateKey } from '../../core/identity.ts'
import { printable } from '../../core/printable.ts'
import { weakness } from '../algorithms.ts'
import { keyUnusable } from '../key-messages.ts'
import type { Ssh2 } from './load.ts'

/**
 * The private key of an identity, decrypted. Throws `KEY_UNUSABLE` for one that cannot be read (format, passphrase), is public,
 * or is too weak.
 */
export function parsePrivateKey(ssh2: Ssh2, vmId: string, { label, data, passphrase }: PrivateKey): ParsedKey {
  // The types leave out that a file in the newer format gives an array.
  const parsed: ParsedKey | readonly ParsedKey[] | Error = ssh2.utils.parseKey(data, passphrase?.reveal())
  const key = firstOf(parsed)
  const name = `key ${printable(label)}`
  if (key instanceof Error || key === undefined) throw unparsable(vmId, name, key)
  if (!key.isPrivateKey()) throw keyUnusable(vmId, `${name}: it is a public key`, 'Name the private key, the file without .pub.')
  const reason = weakness(key.getPublicSSH())
  if (reason !== undefined) throw keyUnusable(vmId, `${name}: ${reason}`, 'Make a new key: ssh-keygen -t ed25519')
  return key
}

function firstOf(parsed: ParsedKey | readonly ParsedKey[] | Error): ParsedKey | Error | undefined {
  return 'length' in parsed ? parsed[0] : parsed
}

/** ssh2 says only in words what is wrong. The words are its own and hold nothing of the key. Source: ssh2 1.17, keyParser.js. */
function unparsable(vmId: string, name: string, error: Error | undefined): RemexError {
  const message = error?.message ?? 'there is no key in it'
  if (/no passphrase/i.test(message)) {
    return keyUnusable(vmId, `${name}: it is encrypted, and no passphrase was given`, 'Give the passphrase in $REMEX_KEY_PASSPHRASE.')
  }
  if (/passphrase|decrypt|integrity|MAC mismatch/i.test(message)) {
    return keyUnusable(vmId, `${name}: wrong passphrase`, 'Check the passphrase: ssh-keygen -y -f <key>')
  }
  const hint = 'It must be a private key in OpenSSH, PEM (RSA, EC) or PPK format; ssh-keygen -p -f <key> rewrites it.'
  return keyUnusable(vmId, `${name}: not a key that can be read (${printable(message)})`, hint)
}
