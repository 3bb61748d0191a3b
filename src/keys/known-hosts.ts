import { remexError, type RemexError } from '../core/errors.ts'
import { fingerprint, type HostKey } from '../core/host-key.ts'
import { printable } from '../core/printable.ts'
import { lookupName, matchesNames, plainName, plainNames, type HostAddress } from './host-names.ts'
import { knownHostsLines, type Marker } from './known-hosts-line.ts'
import { readRegularFile, type FileReading } from '../core/regular-file.ts'

/** The largest known_hosts file that is read, in bytes. */
export const MAX_KNOWN_HOSTS_BYTES = 16 * 1024 * 1024

/** A line of a known_hosts file. */
export interface Place {
  /** Path of the file. */
  readonly file: string
  /** Counted from 1. */
  readonly line: number
}

/** A key that a known_hosts line gives to a host. */
export interface KnownHostKey extends Place {
  readonly key: HostKey
}

/** A known key as a person compares it. */
export interface KnownFingerprint extends Place {
  readonly type: string
  /** `SHA256:…` */
  readonly fingerprint: string
}

/** What the known_hosts files say of a key that a host shows. */
export type HostKeyVerdict =
  /** The line has this very key. */
  | ({ readonly kind: 'trusted' } & Place)
  /** No line has a key for the host. `certAuthorities` are lines for it that only an engine with host certificates can use. */
  | { readonly kind: 'unknown'; readonly certAuthorities: readonly Place[] }
  /** Only other keys are known: those of the same type first. */
  | { readonly kind: 'changed'; readonly known: readonly KnownFingerprint[] }
  /** The line is marked @revoked and has this very key. */
  | ({ readonly kind: 'revoked' } & Place)

/** A line with a key, as the store keeps it. */
interface StoredLine extends KnownHostKey {
  readonly marker: Marker
  readonly names: string
}

/** A line, and where it stands among those of all files. */
interface PlacedLine {
  readonly line: StoredLine
  readonly index: number
}

/**
 * Known_hosts files as they were when they were loaded. Decides as OpenSSH does, but that every doubt is `changed` or `unknown`,
 * and that a key revoked for a name is revoked on all ports.
 */
export class HostKeyStore {
  /** Lines that could not be understood: how many, and where the first is. */
  readonly malformed: { readonly count: number; readonly first: Place | undefined }
  /** Lines with plain names alone, by each of them: most are, and a fleet has thousands. */
  readonly #plain = new Map<string, PlacedLine[]>()
  /** Those that have to be asked for every host. */
  readonly #others: readonly PlacedLine[]
  /** Lines by the name they were looked up with: hashed names cost one HMAC each. */
  readonly #found = new Map<string, readonly StoredLine[]>()

  private constructor(files: readonly ParsedFile[]) {
    const lines = files.flatMap((file) => file.lines).map((line, index) => ({ line, index, names: plainNames(line.names) }))
    for (const { line, index, names = [] } of lines) {
      for (const name of new Set(names)) this.#plain.set(name, [...(this.#plain.get(name) ?? []), { line, index }])
    }
    this.#others = lines.filter(({ names }) => names === undefined)
    const bad = files.filter((file) => file.malformedCount > 0)
    this.malformed = { count: bad.reduce((sum, file) => sum + file.malformedCount, 0), first: bad[0]?.firstMalformed }
  }

  /**
   * Reads the files at `paths`; lines of earlier files come first. One that is not there is empty.
   * One that cannot be read is an error, never an empty one: `PERMISSION_DENIED`, or `CONFIG_INVALID` for what is no
   * regular file, is over 16 MiB, or fails in another way.
   */
  static async load(paths: readonly string[]): Promise<HostKeyStore> {
    const files: ParsedFile[] = []
    for (const path of paths) files.push(parseFile(path, (await readKnownHosts(path))?.text ?? ''))
    return new HostKeyStore(files)
  }

  /** The store of one file that was read already: `text` as {@link readKnownHosts} returns it, `file` for messages. */
  static parse(file: string, text: string): HostKeyStore {
    return new HostKeyStore([parseFile(file, text)])
  }

  /** What is known of `key` for the host at this address. */
  check(address: string, port: number, key: HostKey): HostKeyVerdict {
    const host = { address, port }
    const revoked = this.revoked(host, key)
    if (revoked) return { kind: 'revoked', ...placeOf(revoked) }
    const same = this.known(host).find((line) => line.key.blob.equals(key.blob))
    if (same) return { kind: 'trusted', ...placeOf(same) }
    // What is known of port 22 only is another server's key, perhaps: it can vouch for this one, not speak against it.
    const others = this.named(host)
    if (others.length === 0) return { kind: 'unknown', certAuthorities: this.certAuthorities(host).map(placeOf) }
    const sameTypeFirst = [...others.filter(isOfType(key.type, true)), ...others.filter(isOfType(key.type, false))]
    return { kind: 'changed', known: sameTypeFirst.map(fingerprintOf) }
  }

  /** Types of the keys that are known for the host and not revoked, in the order of the files, each once. */
  knownTypes(address: string, port: number): string[] {
    const host = { address, port }
    const usable = this.known(host).filter((line) => !this.revoked(host, line.key))
    return [...new Set(usable.map((line) => line.key.type))]
  }

  /** The keys of lines that name the host at this very port, in the order of the files; patterns and hashed names included. */
  named(host: HostAddress): readonly KnownHostKey[] {
    return this.#marked('none', lookupName(host))
  }

  /** As `named`; but where that is nothing for a port other than 22, the keys of the same name at port 22, as OpenSSH takes them. */
  known(host: HostAddress): readonly KnownHostKey[] {
    const named = this.named(host)
    return named.length > 0 ? named : this.#marked('none', plainName(host))
  }

  /** The keys of the certificate authorities that may vouch for the host, in the order of the files. */
  certAuthorities(host: HostAddress): readonly KnownHostKey[] {
    return this.#marked('cert-authority', lookupName(host))
  }

  /** The line that revokes `key` for the host; undefined where there is none. */
  revoked(host: HostAddress, key: HostKey): Place | undefined {
    return this.revocations(host).find((line) => line.key.blob.equals(key.blob))
  }

  /** The keys that are revoked for the host, at its port or by its name alone; those of the port first. */
  revocations(host: HostAddress): readonly KnownHostKey[] {
    return [...this.#marked('revoked', lookupName(host)), ...this.#marked('revoked', plainName(host))]
  }

  #marked(marker: Marker, name: string): readonly StoredLine[] {
    return this.#matching(name).filter((line) => line.marker === marker)
  }

  #matching(name: string): readonly StoredLine[] {
    const before = this.#found.get(name)
    if (before) return before
    const asked = this.#others.filter(({ line }) => matchesNames(line.names, name))
    const lines = [...(this.#plain.get(name) ?? []), ...asked].sort((one, other) => one.index - other.index).map(({ line }) => line)
    this.#found.set(name, lines)
    return lines
  }
}

/**
 * The text of a known_hosts file, one character per byte, with its permission bits; undefined where it is not there.
 * Throws as {@link HostKeyStore.load}.
 */
export async function readKnownHosts(path: string): Promise<{ readonly text: string; readonly mode: number } | undefined> {
  const reading = await readRegularFile(path, MAX_KNOWN_HOSTS_BYTES)
  if (reading.kind === 'missing') return undefined
  if (reading.kind !== 'read') throw unreadable(path, reading)
  return { text: reading.data.toString('latin1'), mode: reading.stats.mode & 0o777 }
}

function unreadable(path: string, { kind, reason }: Extract<FileReading, { reason: string }>): RemexError {
  const code = kind === 'denied' ? 'PERMISSION_DENIED' : 'CONFIG_INVALID'
  return remexError(code, `the host keys in ${printable(path)} cannot be read, so no host is trusted: ${reason}`, {
    hint: 'Mend owner, mode or content of that file, or name others with known_hosts_path.',
  })
}

interface ParsedFile {
  readonly lines: readonly StoredLine[]
  readonly malformedCount: number
  readonly firstMalformed: Place | undefined
}

function parseFile(file: string, text: string): ParsedFile {
  const lines: StoredLine[] = []
  let malformedCount = 0
  let firstMalformed: Place | undefined
  for (const { line, number } of knownHostsLines(text)) {
    if (line.kind === 'entry') lines.push({ file, line: number, marker: line.marker, names: line.names, key: line.key })
    if (line.kind !== 'malformed') continue
    malformedCount++
    firstMalformed ??= { file, line: number }
  }
  return { lines, malformedCount, firstMalformed }
}

function placeOf({ file, line }: Place): Place {
  return { file, line }
}

function isOfType(type: string, wanted: boolean): (known: KnownHostKey) => boolean {
  return ({ key }) => (key.type === type) === wanted
}

function fingerprintOf({ key, file, line }: KnownHostKey): KnownFingerprint {
  return { type: key.type, fingerprint: fingerprint(key.blob), file, line }
}
