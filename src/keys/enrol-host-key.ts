import { dirname } from 'node:path'
import { ensurePrivateDir, followLinks, localFileError, writeFileAtomic } from '../core/atomic-file.ts'
import { RemexError, remexError } from '../core/errors.ts'
import { withFileLock } from '../core/file-lock.ts'
import { fingerprint, formatHostKey, hostKeyFromBlob, type HostKey } from '../core/host-key.ts'
import { printable } from '../core/printable.ts'
import { lookupName, namesWithout, refuseUnsafeAddress, type HostAddress } from './host-names.ts'
import { knownHostsLines } from './known-hosts-line.ts'
import { HostKeyStore, MAX_KNOWN_HOSTS_BYTES, readKnownHosts, type KnownHostKey } from './known-hosts.ts'

/** Longer than the default: a whole fleet may enrol at once, one after the other. */
const LOCK_TIMEOUT_MS = 30_000

/** A host and the keys to trust for it. */
export interface HostKeyEnrolment extends HostAddress {
  readonly keys: readonly HostKey[]
  /** Certificate authorities to trust for it, as `@cert-authority` lines. Default: none. */
  readonly authorities?: readonly HostKey[]
}

/** A host whose keys are exchanged for those that it has now. */
export interface HostKeyRenewal extends HostAddress {
  /** By which it is to be known. */
  readonly keys: readonly HostKey[]
  /** Whether a key goes that is known and is not among them. */
  readonly isStale: (key: HostKey) => boolean
  /** `show` changes no file. */
  readonly mode: 'write' | 'show'
}

/** What became of a renewal. */
export interface RenewedHostKeys {
  readonly added: readonly HostKey[]
  /** With the place where they were. */
  readonly removed: readonly KnownHostKey[]
}

/** The text that a known_hosts file is to have, and what the change was. */
interface Change<T> {
  readonly text: string
  readonly result: T
}

/**
 * Adds `keys` to the known_hosts file at `path` as keys of the host, one line each; returns those that were not there.
 * Makes the file (0600) and its directories (0700) where they are missing; a link to it stays, and so do a file's mode and owner.
 * Processes that do the same at the same time lose nothing.
 * Throws `HOST_KEY_REVOKED` for a key that the file revokes for this host, `USAGE` for an address that a line cannot name and for
 * a key that is none; `PERMISSION_DENIED`, `NO_SPACE`, `LOCAL_NOT_FOUND` or `CONFIG_INVALID` where the file cannot be read or written.
 */
export async function trustHostKeys(path: string, { keys, authorities = [], ...host }: HostKeyEnrolment): Promise<readonly HostKey[]> {
  refuseUnsafeAddress(host)
  for (const key of [...keys, ...authorities]) refuseUnsoundKey(key)
  await ensurePrivateDir(dirname(path))
  return changeKnownHosts(path, (text) => {
    const vouched = withKeys(text, path, { keys: authorities, marker: 'cert-authority', ...host })
    return withKeys(vouched.text, path, { keys, marker: 'none', ...host })
  })
}

/**
 * Adds the keys that no file at `paths` has for the host to the first one, and takes those that are stale out of all of them, where
 * a line names the host itself; what stays stays as with {@link forgetHostKeys}. In the first file both are one change. A further
 * file that may not be written keeps what it has. Throws as {@link trustHostKeys}.
 */
export async function renewHostKeys([first = '', ...others]: readonly string[], { keys, isStale, mode, ...host }: HostKeyRenewal): Promise<RenewedHostKeys> {
  refuseUnsafeAddress(host)
  for (const key of keys) refuseUnsoundKey(key)
  const known = (await HostKeyStore.load(others)).named(host)
  const missing = keys.filter((key) => !known.some((line) => line.key.blob.equals(key.blob)))
  const renew = (text: string, file: string): Change<RenewedHostKeys> => {
    const without = withoutHost(text, file, { ...host, isMeant: isStale })
    const now = withKeys(without.text, file, { keys: missing, marker: 'none', ...host })
    return { text: now.text, result: { added: now.result, removed: without.result } }
  }
  if (mode === 'show') {
    const { added, removed } = renew((await readKnownHosts(first))?.text ?? '', first).result
    return { added, removed: [...removed, ...known.filter(({ key }) => isStale(key))] }
  }
  await ensurePrivateDir(dirname(first))
  const { added, removed } = await changeKnownHosts(first, (text) => renew(text, first))
  return { added, removed: [...removed, ...(await removeWhereAllowed(others, { ...host, isMeant: isStale }))] }
}

/**
 * Takes the host out of the known_hosts files at `paths`: a line that names it alone goes, one with other names keeps those, a
 * hashed line of it goes. Returns what was removed, with the place where it was. Lines marked @revoked and @cert-authority,
 * patterns (`*.example.com`), and names at other ports stay, so a key may still be known by one of them.
 * A file that does not name the host is not touched. Throws as {@link trustHostKeys}.
 */
export async function forgetHostKeys(paths: string | readonly string[], host: HostAddress): Promise<readonly KnownHostKey[]> {
  refuseUnsafeAddress(host)
  const removed: KnownHostKey[] = []
  for (const path of [paths].flat()) removed.push(...(await removeFrom(path, { ...host, isMeant: () => true })))
  return removed
}

/** Keys of a host that are to go. */
interface Removal extends HostAddress {
  readonly isMeant: (key: HostKey) => boolean
}

async function removeFrom(path: string, removal: Removal): Promise<readonly KnownHostKey[]> {
  const now = await readKnownHosts(path)
  if (!now || withoutHost(now.text, path, removal).result.length === 0) return []
  return changeKnownHosts(path, (text) => withoutHost(text, path, removal))
}

async function removeWhereAllowed(paths: readonly string[], removal: Removal): Promise<readonly KnownHostKey[]> {
  const removed: KnownHostKey[] = []
  for (const path of paths) {
    try {
      removed.push(...(await removeFrom(path, removal)))
    } catch (error) {
      if (!(error instanceof RemexError && error.code === 'PERMISSION_DENIED')) throw error
    }
  }
  return removed
}

function refuseUnsoundKey(key: HostKey): void {
  if (hostKeyFromBlob(key.blob)?.type === key.type) return
  throw remexError('USAGE', `this is not a host key: ${printable(key.type)} ${fingerprint(key.blob)}`)
}

/** Every change is made to what the file says while the lock is held. Links to one file share its lock. */
async function changeKnownHosts<T>(path: string, change: (text: string) => Change<T>): Promise<T> {
  try {
    const target = await followLinks(path)
    return await withFileLock(`${target}.lock`, async () => {
      const old = await readKnownHosts(target)
      const { text, result } = change(old?.text ?? '')
      refuseTooLarge(text, path)
      if (text !== (old?.text ?? '')) await writeFileAtomic(target, Buffer.from(text, 'latin1'), { mode: old?.mode ?? 0o600 })
      return result
    }, { timeoutMs: LOCK_TIMEOUT_MS })
  } catch (error) {
    throw localFileError(error, path)
  }
}

function refuseTooLarge(text: string, path: string): void {
  if (text.length <= MAX_KNOWN_HOSTS_BYTES) return
  throw remexError('CONFIG_INVALID', `${printable(path)} would become too large to be read again`, {
    hint: 'Take lines out of it that are not needed, or name another file with known_hosts_path.',
  })
}

/** Keys of a host that are to have lines with this marker. */
interface Addition extends HostAddress {
  readonly keys: readonly HostKey[]
  readonly marker: 'none' | 'cert-authority'
}

function withKeys(text: string, file: string, { keys, marker, ...host }: Addition): Change<readonly HostKey[]> {
  const store = HostKeyStore.parse(file, text)
  for (const key of keys) refuseRevoked(store, host, key)
  const lines = marker === 'none' ? store.named(host) : store.certAuthorities(host)
  const known = new Set(lines.map(({ key }) => formatHostKey(key)))
  const missing = new Map<string, HostKey>()
  for (const key of keys) if (!known.has(formatHostKey(key))) missing.set(formatHostKey(key), key)
  if (missing.size === 0) return { text, result: [] }
  const whole = text === '' || text.endsWith('\n') ? text : `${text}\n`
  const head = `${marker === 'none' ? '' : '@cert-authority '}${lookupName(host)}`
  return { text: whole + [...missing.keys()].map((line) => `${head} ${line}\n`).join(''), result: [...missing.values()] }
}

function refuseRevoked(store: HostKeyStore, host: HostAddress, key: HostKey): void {
  const line = store.revoked(host, key)
  if (!line) return
  const name = `${printable(host.address)} port ${host.port}`
  const place = `${printable(line.file)}:${line.line}`
  throw remexError('HOST_KEY_REVOKED', `${fingerprint(key.blob)} is not trusted for ${name}: ${place} marks it as @revoked`)
}

function withoutHost(text: string, file: string, { isMeant, ...host }: Removal): Change<readonly KnownHostKey[]> {
  const name = lookupName(host)
  const kept: string[] = []
  const removed: KnownHostKey[] = []
  let copiedTo = 0
  for (const { line, number, start, end } of knownHostsLines(text)) {
    if (line.kind !== 'entry' || line.marker !== 'none' || !isMeant(line.key)) continue
    const names = namesWithout(line.names, name)
    if (names === line.names) continue
    removed.push({ file, line: number, key: line.key })
    kept.push(text.slice(copiedTo, start), names === '' ? '' : `${line.head}${names}${line.tail}\n`)
    copiedTo = end + 1
  }
  return { text: kept.join('') + text.slice(copiedTo), result: removed }
}
