import { constants, statSync, writeSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ensurePrivateDir, syncDirectory, systemReason } from '../../core/atomic-file.ts'
import type { Clock } from '../../core/clock.ts'
import { remexError, RemexError } from '../../core/errors.ts'
import { withFileLock, type HeldLock, type LockOptions } from '../../core/file-lock.ts'
import { printable } from '../../core/printable.ts'
import { draft } from '../draft.ts'
import type { AuditFiles } from '../files.ts'
import { isHeadSigned, readHead, writeHead, type Head } from '../head.ts'
import { writeLine, type Position } from '../line.ts'
import { giveToOwner } from '../ownership.ts'
import { findPlace, type Knowledge, type Place } from './place.ts'
import type { Draft } from '../record.ts'
import { isNoSpace, Reserve } from './reserve.ts'
import { firstTimeOf, lastRotated, moveAside, removeObsolete, turnToNewFile, type KeepingLimits, type Turn } from './rotation.ts'
import { SIGNING, SigningKey, unusable, type Signer } from '../signing.ts'
import { moveTorn } from './torn.ts'

/** The log as this process has it open, and how far it knows it. */
interface OpenLog {
  readonly file: FileHandle
  readonly inode: number
  readonly key: SigningKey
  /** The time of its first record, ms since 1970; undefined while there is none. */
  firstMs: number | undefined
  /** The end of the log after our last write; undefined before the first. */
  known: Head | undefined
}

/** Lines that are ready to be written behind a place. */
interface Addition {
  readonly text: string
  /** The places of the records that were asked for, in their order. */
  readonly positions: readonly Position[]
  readonly head: Head
}

const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants

/** What is to be written with one write. */
export interface Batch {
  readonly drafts: readonly Draft[]
  /** Whether to wait for the disk. What is not waited for is on disk with the next that is, and may use the room that is kept for it. */
  readonly durable: boolean
}

/** Where the appender gets its batches from, one after the other, while it holds the lock. */
export interface BatchSource {
  /** The records of the next write. Called when they are about to be written, so that all that waited goes along. */
  take(): Batch
  /** They are in the file, and on disk where the batch is durable: their places, in their order. */
  written(positions: readonly Position[]): void
  /** Whether another batch follows under the same lock. */
  more(isWanted: () => boolean): Promise<boolean>
}

/** What an appender goes by. */
export interface AppenderOptions {
  readonly clock: Clock
  readonly limits: KeepingLimits
  /** Bounds the wait for other processes. Default: that of {@link withFileLock}. */
  readonly lockTimeoutMs?: number | undefined
}

/** Adds records to the end of a log that other processes add to as well. One call of `append` at a time. */
export class Appender {
  readonly #files: AuditFiles
  readonly #clock: Clock
  readonly #limits: KeepingLimits
  readonly #lockOptions: LockOptions
  readonly #reserve: Reserve
  #open: OpenLog | undefined
  #unsynced = false

  constructor(files: AuditFiles, { clock, limits, lockTimeoutMs }: AppenderOptions) {
    this.#files = files
    this.#clock = clock
    this.#limits = limits
    this.#lockOptions = { timeoutMs: lockTimeoutMs }
    this.#reserve = new Reserve(files.reserve)
  }

  /**
   * Takes the lock and writes batches until the source has no more. Of a batch all records are written or none.
   * Rejects with `AUDIT_UNAVAILABLE` when one could not be written; the next call starts afresh.
   */
  async append(source: BatchSource): Promise<void> {
    try {
      if (!this.#open) await ensurePrivateDir(this.#files.directory)
      await withFileLock(this.#files.lock, (lock) => this.#appendUnderLock(source, lock), this.#lockOptions)
    } catch (error) {
      await this.close().catch(() => undefined)
      throw unavailable(this.#files.log, error)
    }
  }

  /** Waits until everything that was appended is on disk. Rejects with `AUDIT_UNAVAILABLE`. */
  async sync(): Promise<void> {
    if (!this.#unsynced || !this.#open) return
    this.#unsynced = false
    await this.#open.file.datasync().catch((error: unknown) => {
      throw unavailable(this.#files.log, error)
    })
  }

  /** Closes the file. Safe to repeat. */
  async close(): Promise<void> {
    const file = this.#open?.file
    this.#open = undefined
    await file?.close()
  }

  async #appendUnderLock(source: BatchSource, lock: HeldLock): Promise<void> {
    const first = await this.#appendBatch(source, { withHead: true })
    let last = first
    try {
      while (await source.more(() => lock.isWanted())) last = await this.#appendBatch(source, { withHead: false })
    } finally {
      // An older head is as good, for the log may be ahead of it; so one write of it serves all batches but the first.
      if (last.head !== first.head) writeHead(this.#files.head, last.head, last.key)
    }
  }

  async #appendBatch(source: BatchSource, { withHead }: { readonly withHead: boolean }): Promise<{ readonly head: Head; readonly key: SigningKey }> {
    const { log, place } = await this.#ready()
    const turn = await this.#turn(place)
    const own = [...turn.drafts, ...(await this.#repair(log, place))]
    const { drafts, durable } = source.take()
    const added = chained([...own, ...drafts], place, log.key)
    if (durable) await this.#reserve.keep()
    const write = (): Promise<void> => this.#write(log, place, { ...added, durable: durable || turn.obsolete.length > 0, withHead })
    await (durable ? write() : this.#insisting(write))
    if (!log.known) await giveToOwner(this.#files.directory, filesOf(this.#files))
    log.known = added.head
    log.firstMs ??= this.#clock.now()
    source.written(added.positions.slice(own.length))
    await removeObsolete(turn.obsolete)
    return { head: added.head, key: log.key }
  }

  /** The log and the place of the next record, in a new file where the one before is full or old. */
  async #ready(): Promise<{ readonly log: OpenLog; readonly place: Place }> {
    const now = statSync(this.#files.log, { throwIfNoEntry: false })
    const log = await this.#opened(now?.ino)
    const place = log.known && log.known.sizeBytes === now?.size ? undisturbed(log.known) : await this.#place(log)
    if (place.tornBytes > 0 || !this.#isDue(log, place)) return { log, place }
    await moveAside(this.#files, log.file)
    writeHead(this.#files.head, { ...place.last, sizeBytes: 0 }, log.key)
    return { log: await this.#opened(undefined), place: { ...place, sizeBytes: 0 } }
  }

  #isDue({ firstMs }: OpenLog, { sizeBytes }: Place): boolean {
    const { rotateBytes, rotateAgeMs } = this.#limits
    return sizeBytes >= rotateBytes || (firstMs !== undefined && this.#clock.now() - firstMs >= rotateAgeMs)
  }

  /** The log, opened anew where another file than that of this inode was open. */
  async #opened(inode: number | undefined): Promise<OpenLog> {
    if (this.#open && inode === this.#open.inode) return this.#open
    await this.close()
    const file = await open(this.#files.log, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
    try {
      const stats = await file.stat()
      if (!stats.isFile()) throw new Error('it is not a regular file')
      this.#open = { file, inode: stats.ino, key: await SigningKey.of(this.#files), firstMs: await firstTimeOf(file), known: undefined }
      return this.#open
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Where the next record goes, when others have written, or nobody knows. */
  async #place({ file, key }: OpenLog): Promise<Place> {
    const place = await findPlace(file, this.#knowledge(key))
    if (!place) throw new Error('its last lines are not records of Remex; look at it, then move it away')
    // A head that is signed comes first: from when the public key is there, a log without one is not believed.
    if (!key.isPublished || isTurning(place)) writeHead(this.#files.head, { ...place.last, sizeBytes: place.sizeBytes }, key)
    if (!key.isPublished) await key.publish()
    return place
  }

  #knowledge(key: SigningKey): Knowledge {
    const lastBefore = (): ReturnType<typeof lastRotated> => lastRotated(this.#files)
    const head = readHead(this.#files.head)
    if (!head) return { head, headFault: 'head.json was missing or not readable', lastBefore }
    if (head.signed && head.signed.key !== key.key) throw unusable(this.#files.signingKey, 'the log is signed by another key')
    if (!key.isPublished || isHeadSigned(head, key)) return { head, headFault: '', lastBefore }
    return { head: undefined, headFault: 'head.json was not written by Remex: its signature is wrong', lastBefore }
  }

  async #turn(place: Place): Promise<Turn> {
    if (!isTurning(place)) return { drafts: [], obsolete: [] }
    return turnToNewFile({ files: this.#files, limits: this.#limits, nowMs: this.#clock.now() })
  }

  /** The record of what was found wrong, if anything was. */
  async #repair({ file }: OpenLog, { sizeBytes, tornBytes, faults }: Place): Promise<readonly Draft[]> {
    if (tornBytes === 0 && faults.length === 0) return []
    const now = this.#clock.now()
    const torn = tornBytes > 0 ? await moveTorn({ file, path: this.#files.log, fromOffset: sizeBytes, now }) : undefined
    const reason = [...(torn ? ['a writer was interrupted: bytes behind the last whole record were moved to torn_file'] : []), ...faults].join('; ')
    return [draft('repaired', new Date(now).toISOString(), { pid: process.pid, ...torn, reason })]
  }

  /** On any failure the log is cut back to where it was, so that the chain stays whole. */
  async #write({ file, key }: OpenLog, place: Place, { text, head, durable, withHead }: Addition & Pick<Batch, 'durable'> & { readonly withHead: boolean }): Promise<void> {
    try {
      writeAll(file.fd, Buffer.from(text))
      if (durable) await file.datasync()
      this.#unsynced = !durable
      // A new file is on disk when its name is, and that of its directory.
      if (place.sizeBytes === 0) await this.#syncNames()
      if (withHead) writeHead(this.#files.head, head, key)
    } catch (error) {
      // Where even that fails, the next writer finds a torn line and repairs it.
      await file.truncate(place.sizeBytes).catch(() => undefined)
      throw error
    }
  }

  /** Once more in the room that was kept, where there is no other. */
  async #insisting(write: () => Promise<void>): Promise<void> {
    try {
      await write()
    } catch (error) {
      if (!isNoSpace(error)) throw error
      await this.#reserve.giveUp()
      await write()
    }
  }

  async #syncNames(): Promise<void> {
    await syncDirectory(this.#files.directory)
    await syncDirectory(dirname(this.#files.directory))
  }
}

const filesOf = ({ log, head, reserve, signingKey, publicKey }: AuditFiles): readonly string[] => [log, head, reserve, signingKey, publicKey]

/** A file is begun, and it is not the first of its chain. */
const isTurning = ({ sizeBytes, last }: Place): boolean => sizeBytes === 0 && last.seq > 0

/** Every so many records one signs the chain, so that a part of it can be proven without its end. */
const SIGN_EVERY = 1000

function chained(drafts: readonly Draft[], place: Place, signer: Signer): Addition {
  const texts: string[] = []
  const positions: Position[] = []
  let last = place.last
  const add = (next: Draft): void => {
    const line = writeLine(SIGNING.has(next.event) ? { ...next, ...signer.sign('chain', last) } : next, last)
    texts.push(line.text)
    last = line.position
  }
  for (const next of drafts) {
    if ((last.seq + 1) % SIGN_EVERY === 0 && !SIGNING.has(next.event)) add(draft('signed', next.time, { pid: process.pid }))
    add(next)
    positions.push(last)
  }
  const text = texts.join('')
  return { text, positions, head: { ...last, sizeBytes: place.sizeBytes + Buffer.byteLength(text) } }
}

/** Into the page cache: no wait that would be worth a thread. The file is open for appending. */
function writeAll(fd: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written)
}

/** Nobody has written since we did. */
function undisturbed({ seq, hash, sizeBytes }: Head): Place {
  return { last: { seq, hash }, sizeBytes, tornBytes: 0, faults: [] }
}

function unavailable(path: string, error: unknown): RemexError {
  const reason = error instanceof RemexError ? error.message : systemReason(error)
  const hint = error instanceof RemexError ? error.hint : undefined
  return remexError('AUDIT_UNAVAILABLE', `the audit log ${printable(path)} cannot be written: ${reason}`, { cause: error, hint })
}
