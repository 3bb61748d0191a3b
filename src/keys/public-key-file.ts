import { parseHostKey, type HostKey } from '../core/host-key.ts'
import { isSecurityKey, publicHalf } from './private-key-format.ts'
import { readRegularFile } from '../core/regular-file.ts'

const MAX_BYTES = 65_536

/** The public key in the first line of a file, and the comment behind it. */
export interface PublicKey extends HostKey {
  readonly comment: string
}

/** The public key at `path`; undefined where there is none, or something else. */
export async function readPublicKey(path: string): Promise<PublicKey | undefined> {
  const reading = await readRegularFile(path, MAX_BYTES)
  const text = reading.kind === 'read' ? (reading.data.toString('utf8').split('\n', 1)[0] ?? '').trim() : ''
  const key = parseHostKey(text)
  return key && { ...key, comment: /^\S+[ \t]+\S+[ \t]+(.*)$/.exec(text)?.[1] ?? '' }
}

/** The public half of the key at `path` where that is the private key file of a security key; undefined for anything else. */
export async function readSecurityKey(path: string): Promise<HostKey | undefined> {
  const reading = await readRegularFile(path, MAX_BYTES)
  const key = reading.kind === 'read' ? publicHalf(reading.data) : undefined
  return key && isSecurityKey(key) ? key : undefined
}
