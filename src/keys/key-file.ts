import type { Stats } from 'node:fs'
import { basename } from 'node:path'
import { octal } from '../core/atomic-file.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import type { PrivateKey } from '../core/identity.ts'
import { printable } from '../core/printable.ts'
import { quoteWord } from '../core/quote.ts'
import { Secret } from '../core/secret.ts'
import { inspectPrivateKey } from './private-key-format.ts'
import { readRegularFile } from '../core/regular-file.ts'

const MAX_KEY_BYTES = 65_536

/** Where the passphrase of an encrypted key comes from. */
export interface PassphraseSource {
  /** `REMEX_KEY_PASSPHRASE` is looked at first; empty counts as not set. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Asks on a terminal; `label` is the path of the key file. Undefined where there is no terminal. */
  readonly askPassphrase?: ((label: string) => Promise<Secret>) | undefined
}

/** A key file and the host it is for. */
export interface KeyFile {
  readonly path: string
  readonly vmId: string
}

/**
 * The private key at `path`, checked: a regular file, ours or root's, for its owner alone, at most 64 KiB, a private key.
 * Whether a passphrase is right shows only when the transport decrypts the key.
 * Throws `KEY_NOT_FOUND` where the file is not there, `KEY_UNUSABLE` for everything else; what `askPassphrase` rejects with passes through.
 */
export async function loadKeyFile(file: KeyFile, passphrases: PassphraseSource): Promise<PrivateKey> {
  const data = await readKeyFile(file)
  const inspection = inspectPrivateKey(data)
  if (inspection.kind === 'unusable') throw unusable(file, inspection.reason, inspection.hint)
  const key: PrivateKey = { kind: 'key', label: printable(basename(file.path)), data }
  return inspection.encrypted ? { ...key, passphrase: await passphraseFor(file, passphrases) } : key
}

async function readKeyFile(file: KeyFile): Promise<Buffer> {
  let refusal: KeyRefusal | undefined
  const reading = await readRegularFile(file.path, MAX_KEY_BYTES, (stats) => {
    refusal = refuseByStats(stats, file.path)
    return refusal?.reason
  })
  if (reading.kind === 'read') return reading.data
  if (reading.kind !== 'missing') throw unusable(file, reading.reason, refusal?.hint)
  throw remexError('KEY_NOT_FOUND', `the key of ${printable(file.vmId)} is not there: ${printable(file.path)}`, {
    hint: 'Put the private key there, or correct identity_file.',
    vmId: file.vmId,
  })
}

interface KeyRefusal {
  readonly reason: string
  readonly hint: string
}

function refuseByStats(stats: Stats, path: string): KeyRefusal | undefined {
  const ours = process.getuid?.()
  if (ours !== undefined && stats.uid !== ours && stats.uid !== 0) {
    return { reason: `it belongs to user ${stats.uid}, not to us (${ours}) or root`, hint: 'Use a key of your own, or change its owner.' }
  }
  if ((stats.mode & 0o077) === 0) return undefined
  return { reason: `others than its owner can use it (mode ${octal(stats.mode)})`, hint: `chmod 600 ${printable(quoteWord(path))}` }
}

async function passphraseFor(file: KeyFile, { env, askPassphrase }: PassphraseSource): Promise<Secret> {
  const fromEnvironment = env.REMEX_KEY_PASSPHRASE
  if (fromEnvironment) return new Secret(fromEnvironment)
  if (askPassphrase) return askPassphrase(file.path)
  throw unusable(file, 'it is encrypted, and there is no passphrase', 'Start remex on a terminal to be asked, or set REMEX_KEY_PASSPHRASE.')
}

function unusable({ path, vmId }: KeyFile, reason: string, hint?: string): RemexError {
  const details = hint === undefined ? { vmId } : { vmId, hint }
  return remexError('KEY_UNUSABLE', `the key ${printable(path)} of ${printable(vmId)} cannot be used: ${reason}`, details)
}
