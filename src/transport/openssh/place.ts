import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { remexError } from '../../core/errors.ts'
import { formatHostKey, parseHostKey, type HostKey } from '../../core/host-key.ts'
import type { UserCertificate } from '../../core/identity.ts'
import { quoteWord } from '../../core/quote.ts'
import { lookupName, refuseUnsafeAddress } from '../../keys/host-names.ts'
import type { Route } from '../contract.ts'
import type { PlaceNames } from './arguments.ts'

/** The longest path of a socket everywhere, with its closing zero. Source: unix(7), and 104 of the BSDs. */
const MOST_PATH_BYTES = 104

/** ssh renames its file a moment after it has said so. */
const LOOK_AGAIN_MS = 10

/** What may vouch for a host, for one start of `ssh`. */
export interface Trust {
  readonly keys: readonly HostKey[]
  /** `SHA256:…` of keys of which no more is known. */
  readonly fingerprints: readonly string[]
  readonly authorities: readonly HostKey[]
  readonly revoked: readonly HostKey[]
}

/** What a place is made with. */
export interface PlaceParts {
  readonly trust: Trust
  readonly certificates: readonly UserCertificate[]
  /** Whether a script of ours is to write down the host's key. */
  readonly isLearning: boolean
}

/**
 * A directory for one start of `ssh`, for us alone: the host keys that it may trust, the certificates to show, and the sockets.
 * There is nothing secret in it. ssh runs in it and is given bare names, so that no path means anything else to it.
 */
export class Place {
  readonly directory: string
  /** A name that no server can guess, so that what it makes ssh print cannot pass for what ssh found in this file. */
  readonly knownHosts = `h${randomBytes(9).toString('hex')}`
  readonly control = 'c'
  readonly agent = 'a'
  readonly link = 'l'
  readonly askpass = 'p'
  /** Where ssh writes what it says, when others say something too. */
  readonly log = 'e'
  /** A script that ssh asks about the host's key. */
  readonly judge = 'j'
  /** Names of the files with certificates. */
  readonly certificates: readonly string[]
  #inode = 0
  #judges = false

  private constructor(directory: string, certificates: readonly string[]) {
    this.directory = directory
    this.certificates = certificates
  }

  /** Makes one. Rejects with `USAGE` for an address that no known_hosts file can name. */
  static async make(route: Route, { trust, certificates, isLearning }: PlaceParts): Promise<Place> {
    refuseUnsafeAddress(route)
    const place = new Place(await mkdtemp(join(temporaryDirectory(), 'remex-')), certificates.map((_certificate, index) => `u${index}`))
    try {
      await place.#write(place.knownHosts, trustLines(route, trust))
      place.#inode = (await stat(place.path(place.knownHosts))).ino
      place.#judges = isLearning || trust.fingerprints.length > 0
      if (place.#judges) await place.#write(place.judge, isLearning ? learner(place.knownHosts) : voucher(trust.fingerprints))
      await Promise.all(certificates.map(({ type, blob }, index) => place.#write(`u${index}`, `${type} ${blob.toString('base64')}\n`)))
      return place
    } catch (error) {
      await place.remove()
      throw error
    }
  }

  /** What ssh is told of, but for the agent. */
  get names(): Omit<PlaceNames, 'agent' | 'log'> {
    const { knownHosts, control, certificates } = this
    return { knownHosts, control, certificates, judge: this.#judges ? this.judge : undefined }
  }

  /** Absolute, for Node. */
  path(name: string): string {
    return join(this.directory, name)
  }

  /** The keys that ssh trusts for the host by now: those that it was given, and what it learnt. */
  async keys(): Promise<readonly HostKey[]> {
    const text = await readFile(this.path(this.knownHosts), 'latin1')
    return text.split('\n').filter((line) => line !== '' && !line.startsWith('@')).flatMap((line) => {
      const key = parseHostKey(line.slice(line.indexOf(' ') + 1))
      return key ? [key] : []
    })
  }

  /** Whether ssh puts another file of host keys in the place of ours, which is waited for. */
  async isChanged(timeoutMs: number): Promise<boolean> {
    const path = this.path(this.knownHosts)
    const untilMs = performance.now() + timeoutMs
    for (;;) {
      const found = await stat(path).catch(() => undefined)
      if (found && found.ino !== this.#inode) return true
      if (!found || performance.now() >= untilMs) return false
      await setTimeout(LOOK_AGAIN_MS)
    }
  }

  /** Safe to repeat. */
  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }

  /** As {@link Place.remove}, for who does not wait. */
  removeNow(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  async #write(name: string, text: string): Promise<void> {
    await writeFile(this.path(name), text, { mode: 0o600, encoding: 'latin1' })
  }
}

/** One whose path is short enough for sockets in it. */
function temporaryDirectory(): string {
  const name = '/remex-XXXXXX/c'
  const directory = [tmpdir(), '/tmp'].find((path) => Buffer.byteLength(path) + name.length < MOST_PATH_BYTES)
  if (directory === undefined) throw remexError('LOCAL_NOT_FOUND', 'there is no directory for temporary files with a path that is short enough for a socket', { hint: 'Set TMPDIR to a short path.' })
  return directory
}

/**
 * A shell script that says of a key with one of these fingerprints that it is known, and of any other nothing. Its words are the name
 * that ssh looks for, and fingerprint, type and base64 of the key. Source: ssh_config(5), KnownHostsCommand.
 */
function voucher(fingerprints: readonly string[]): string {
  return `case "$2" in ${fingerprints.map(quoteWord).join('|')}) printf '%s %s %s\\n' "$1" "$3" "$4" ;; esac\n`
}

/** As {@link voucher}: one that writes down what the key is, and says that it is not known, so that ssh goes no further. */
function learner(file: string): string {
  return `printf '%s %s %s\\n' "$1" "$3" "$4" >>${file}\n`
}

/** Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. */
function trustLines(route: Route, { keys, authorities, revoked }: Trust): string {
  const name = route.sshConfig?.hostKeyAlias ?? lookupName(route)
  return [
    ...keys.map((key) => `${name} ${formatHostKey(key)}\n`),
    ...authorities.map((key) => `@cert-authority ${name} ${formatHostKey(key)}\n`),
    ...revoked.map((key) => `@revoked ${name} ${formatHostKey(key)}\n`),
  ].join('')
}
