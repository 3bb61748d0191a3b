import type { Client, ParsedKey } from 'ssh2'
import { hostKeyFromBlob, type HostKey } from '../../core/host-key.ts'
import { weakness } from '../algorithms.ts'
import { atMost } from '../timer.ts'

/** How long the server may take to prove its keys after it announced them. */
const PROOF_MS = 5000

/**
 * The host keys that the server announced after the login and proved to hold. ssh2 asks for the proof by itself, unless
 * it is kept from it, and tells only of keys whose signature over this very session was right. Source: OpenSSH PROTOCOL, section 2.5.
 */
export class ProvenHostKeys {
  readonly #keys: Promise<readonly HostKey[]>

  /** Call it before anything that comes after the login is read. */
  constructor(client: Client) {
    this.#keys = new Promise((resolve) => {
      client.once('hostkeys', (keys: readonly ParsedKey[]) => resolve(keys.flatMap(allowedKey)))
      client.once('close', () => resolve([]))
    })
  }

  /** Empty where the server announces none, or does not prove them in time. */
  async get(): Promise<readonly HostKey[]> {
    return (await atMost(PROOF_MS, this.#keys)) ?? []
  }
}

function allowedKey(key: ParsedKey): HostKey[] {
  const blob = Buffer.from(key.getPublicSSH())
  const found = weakness(blob) === undefined ? hostKeyFromBlob(blob) : undefined
  return found ? [found] : []
}
