import { constants, statSync, writeSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ensurePrivateDir, syncDirectory, systemReason } from '../core/atomic-file.ts'
import type { Clock } from '../core/clock.ts'
import { remexError, RemexError } from '../core/errors.ts'
import { withFileLock, type HeldLock, type LockOptions } from '../core/file-lock.ts'
import { printable } from '../core/printable.ts'
import { draft } from './draft.ts'
import type { AuditFiles } from './files.ts'
import { readHead, writeHead, type Head } from './head.ts'
import { writeLine, type Position } from './line.ts'
import { findPlace, type Place } from './place.ts'
import type { Draft } from './record.ts'
import { moveTorn } from './torn.ts'

/** The log as this process has it open, and how far it knows it. */
interface OpenLog {
  readonly file: FileHandle
  readonly inode: number
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
  /** Whether to wait for the disk. What is not waited for is on disk with the next that is. */
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

/** Adds records to the end of a log that other processes add to as well. One call of `append` at a time. */
export class Appender {
  readonly #files: AuditFiles
  readonly #clock: Clock
  readonly #lockOptions: LockOptions
  #open: OpenLog | undefined
  #unsynced = false

  /** `lockTimeoutMs` bounds the wait for other processes. Default: that of {@link withFileLock}. */
  constructor(files: AuditFiles, clock: Clock, lockTimeoutMs?: number) {
    this.#files = files
    this.#clock = clock
    this.#lockOptions = { timeoutMs: lockTimeoutMs }
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
    while (await source.more(() => lock.isWanted())) last = await this.#appendBatch(source, { withHead: false })
    // An older head is as good, for the log may be ahead of it; so one write of it serves all batches but the first.
    if (last !== first) writeHead(this.#files.head, last)
  }

  async #appendBatch(source: BatchSource, { withHead }: { readonly withHead: boolean }): Promise<Head> {
    const now = statSync(this.#files.log, { throwIfNoEntry: false })
    const log = await this.#opened(now?.ino)
    const place = log.known && log.known.sizeBytes === now?.size ? undisturbed(log.known) : await this.#place(log)
    const repairs = await this.#repair(log, place)
    const { drafts, durable } = source.take()
    const added = lines([...repairs, ...drafts], place)
    await this.#write(log.file, place, { ...added, durable, withHead })
    log.known = added.head
    source.written(added.positions.slice(repairs.length))
    return added.head
  }

  /** The log, opened anew where another file than that of this inode was open. */
  async #opened(inode: number | undefined): Promise<OpenLog> {
    if (this.#open && inode === this.#open.inode) return this.#open
    await this.close()
    const file = await open(this.#files.log, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
    const stats = await file.stat()
    this.#open = { file, inode: stats.ino, known: undefined }
    if (!stats.isFile()) throw new Error('it is not a regular file')
    return this.#open
  }

  /** Where the next record goes, when others have written, or nobody knows. */
  async #place({ file }: OpenLog): Promise<Place> {
    const place = await findPlace(file, readHead(this.#files.head))
    if (place) return place
    throw new Error('its last lines are not records of Remex; look at it, then move it away')
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
  async #write(file: FileHandle, place: Place, { text, head, durable, withHead }: Addition & Pick<Batch, 'durable'> & { readonly withHead: boolean }): Promise<void> {
    try {
      writeAll(file.fd, Buffer.from(text))
      if (durable) await file.datasync()
      this.#unsynced = !durable
      // A new file is on disk when its name is, and that of its directory.
      if (place.sizeBytes === 0) await this.#syncNames()
      if (withHead) writeHead(this.#files.head, head)
    } catch (error) {
      // Where even that fails, the next writer finds a torn line and repairs it.
      await file.truncate(place.sizeBytes).catch(() => undefined)
      throw error
    }
  }

  async #syncNames(): Promise<void> {
    await syncDirectory(this.#files.directory)
    await syncDirectory(dirname(this.#files.directory))
  }
}

function lines(drafts: readonly Draft[], place: Place): Addition {
  const texts: string[] = []
  const positions: Position[] = []
  let last = place.last
  for (const next of drafts) {
    const line = writeLine(next, last)
    texts.push(line.text)
    positions.push(line.position)
    last = line.position
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
