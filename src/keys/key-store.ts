import { randomBytes } from 'node:crypto'
import { chmod, link, lstat, open, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ensurePrivateDir, errorCode, localFileError, syncDirectory, writeFileAtomic } from '../core/atomic-file.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { withFileLock } from '../core/file-lock.ts'
import { fingerprint, parseHostKey, type HostKey } from '../core/host-key.ts'
import { printable } from '../core/printable.ts'
import { quoteWord } from '../core/quote.ts'
import { KEY_TYPES } from './identities.ts'
import { publicHalf } from './private-key-format.ts'
import { readPublicKey } from './public-key-file.ts'
import { readRegularFile } from '../core/regular-file.ts'

/** A host, and where its key is or will be. */
export interface KeyPlace {
  readonly vmId: string
  /** The host's own setting; undefined: the key store. */
  readonly identityFile: string | undefined
  readonly keyStoragePath: string
}

/** A key file of ours, as far as it shows without opening it. */
export interface StoredKey {
  /** Path of the private half. */
  readonly path: string
  readonly key: HostKey
  /** `SHA256:…` */
  readonly fingerprint: string
  /** Of the public half; empty where there is none. */
  readonly comment: string
  /** When it was made, as far as is known: the older of the file's time and the date in its comment. */
  readonly since: Date
}

const MAX_KEY_BYTES = 65_536
/** Another process may be in the middle of a rotation, which waits for its host. */
const LOCK_TIMEOUT_MS = 120_000
/** Behind the name of a key that is not in use yet. */
const NEXT = '.next'

/**
 * The key files of one host: the key in use, the next one while it is being brought in, and old ones kept aside under
 * `retired/`. Every change is a link or a rename, so that at any moment there is a key in use, whole.
 */
export class HostKeyFiles {
  readonly #place: KeyPlace
  /** Where the key of this host is put. */
  readonly path: string

  constructor(place: KeyPlace) {
    this.#place = place
    this.path = place.identityFile ?? join(place.keyStoragePath, `id_ed25519_${place.vmId}`)
  }

  /** Runs `work` while no other process changes the key files of this host. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    await ensurePrivateDir(dirname(this.path))
    return withFileLock(join(dirname(this.path), `.${basename(this.path)}.lock`), work, { timeoutMs: LOCK_TIMEOUT_MS })
  }

  /** The key in use; undefined where there is none. Rejects with `KEY_UNUSABLE` for a file of which the public half cannot be known. */
  async current(): Promise<StoredKey | undefined> {
    for (const path of this.#candidates()) {
      const found = await this.#read(path)
      if (found) return found
    }
    return undefined
  }

  /** The key that is to be the next one; undefined where none was made, or the last one is in use. */
  next(): Promise<StoredKey | undefined> {
    return this.#read(this.path + NEXT)
  }

  /** Keeps a new pair as the next key. */
  async stage(pair: { readonly privateKey: string; readonly publicKey: string }): Promise<StoredKey> {
    await ensurePrivateDir(dirname(this.path))
    await writeFileAtomic(`${this.path}${NEXT}.pub`, `${pair.publicKey}\n`, { mode: 0o644 })
    await writeFileAtomic(this.path + NEXT, pair.privateKey)
    const staged = await this.next()
    if (!staged) throw remexError('INTERNAL', `the new key of ${this.#place.vmId} is not there`, { vmId: this.#place.vmId })
    return staged
  }

  /** Puts the next key in use, and the one before it aside. A cut at any moment leaves one or the other in use. */
  async install(now: Date): Promise<void> {
    const old = await this.current()
    if (old) await this.#keepAside(old.path, now)
    await rename(`${this.path}${NEXT}.pub`, `${this.path}.pub`).catch(ignoreMissing)
    await rename(this.path + NEXT, this.path)
    if (old && old.path !== this.path) await removePair(old.path)
    await syncDirectory(dirname(this.path))
  }

  /** Takes the key out of use and puts it aside. */
  async retire(now: Date): Promise<void> {
    const old = await this.current()
    if (!old) return
    await this.#keepAside(old.path, now)
    await removePair(old.path)
    await syncDirectory(dirname(old.path))
  }

  /** The keys put aside, oldest first. */
  async retired(): Promise<readonly StoredKey[]> {
    const names = new Set([basename(this.path), ...KEY_TYPES.map((type) => `id_${type}_${this.#place.vmId}`)])
    const files = await readdir(this.#aside).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return []
      throw localFileError(error, this.#aside)
    })
    const ours = files.filter((file) => names.has(/^(.+)\.\d{8}T\d{9}Z$/.exec(file)?.[1] ?? '')).sort()
    const found = await Promise.all(ours.map((file) => this.#read(join(this.#aside, file))))
    return found.filter((key) => key !== undefined)
  }

  /** Destroys a key that was put aside: overwrites it, then removes it. What the disk itself keeps of it is beyond us. */
  async destroy({ path }: StoredKey): Promise<void> {
    try {
      await overwrite(path)
      await removePair(path)
      await syncDirectory(dirname(path))
    } catch (error) {
      throw localFileError(error, path)
    }
  }

  get #aside(): string {
    return join(dirname(this.path), 'retired')
  }

  #candidates(): readonly string[] {
    const { identityFile, keyStoragePath, vmId } = this.#place
    return identityFile === undefined ? KEY_TYPES.map((type) => join(keyStoragePath, `id_${type}_${vmId}`)) : [identityFile]
  }

  /** By links, so that the key stays in use meanwhile. */
  async #keepAside(path: string, now: Date): Promise<void> {
    await ensurePrivateDir(this.#aside)
    const target = join(this.#aside, `${basename(path)}.${now.toISOString().replace(/[-:.]/g, '')}`)
    await link(path, target).catch(ignoreExisting)
    await link(`${path}.pub`, `${target}.pub`).catch(ignoreMissing)
  }

  async #read(path: string): Promise<StoredKey | undefined> {
    const reading = await readRegularFile(path, MAX_KEY_BYTES)
    if (reading.kind === 'missing') return undefined
    const { vmId } = this.#place
    if (reading.kind !== 'read') throw remexError('KEY_UNUSABLE', `the key ${printable(path)} of ${vmId} cannot be used: ${reading.reason}`, { vmId })
    if (parseHostKey(reading.data.toString('latin1'))) throw this.#elsewhere(path)
    const publicKey = await readPublicKey(`${path}.pub`)
    const key = publicHalf(reading.data) ?? publicKey
    if (!key) throw remexError('KEY_UNUSABLE', `the public half of ${printable(path)} is not known`, { vmId, hint: `ssh-keygen -y -f ${quoteWord(path)} >${quoteWord(`${path}.pub`)}` })
    // What is left of another pair tells nothing of this one.
    const own = publicKey?.blob.equals(key.blob) ? publicKey.comment : ''
    return { path, key, fingerprint: fingerprint(key.blob), comment: own, since: madeAt(own, reading.stats.mtime) }
  }

  #elsewhere(path: string): RemexError {
    const { vmId } = this.#place
    return remexError('KEY_UNUSABLE', `${printable(path)} is the public half of the key of ${vmId}; the private one is the ssh-agent's`, {
      vmId,
      hint: 'Remex logs in with it and leaves it alone. Deploy it by ssh-copy-id; rotate it where it was made.',
    })
  }
}

/** The comment that a new key of a host gets: whose it is, and since when. */
export function keyComment(vmId: string, now: Date): string {
  return `remex-${vmId}-${now.toISOString().slice(0, 10)}`
}

function madeAt(comment: string, mtime: Date): Date {
  const dated = new Date(/(?:^|\D)(\d{4}-\d\d-\d\d)(?:\D|$)/.exec(comment)?.[1] ?? Number.NaN)
  return dated.getTime() < mtime.getTime() ? dated : mtime
}

async function overwrite(path: string): Promise<void> {
  const { size } = await lstat(path)
  await chmod(path, 0o600)
  const file = await open(path, 'r+')
  try {
    // A key that is in use under another name as well must not be destroyed through this one.
    if ((await file.stat()).nlink > 1) return
    await file.write(randomBytes(size), 0, size, 0)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function removePair(path: string): Promise<void> {
  await unlink(`${path}.pub`).catch(ignoreMissing)
  await unlink(path).catch(ignoreMissing)
}

function ignoreMissing(error: unknown): void {
  if (errorCode(error) !== 'ENOENT') throw error
}

function ignoreExisting(error: unknown): void {
  if (errorCode(error) !== 'EEXIST') throw error
}
