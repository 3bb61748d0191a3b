import { parseHostKey, type HostKey } from '../core/host-key.ts'
import { readRegularFile } from './regular-file.ts'

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
