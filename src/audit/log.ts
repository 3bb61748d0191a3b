import { userInfo } from 'node:os'
import type { Clock } from '../core/clock.ts'
import { RemexError, remexError } from '../core/errors.ts'
import { newRunId } from '../core/run-id.ts'
import type { Anchor } from './verify/anchor.ts'
import { Appender } from './append/appender.ts'
import { draft, type DraftFields } from './draft.ts'
import { auditFiles } from './files.ts'
import type { Position } from './line.ts'
import type { AuditRecord, Draft } from './record.ts'
import { isNoSpace } from './append/reserve.ts'
import type { KeepingLimits } from './append/rotation.ts'

type Begun = 'user_id' | 'vm_id' | 'operation'
type Asked = 'run_id' | 'os_user' | 'pid' | 'address' | 'login' | 'sudo_user' | 'command' | 'local' | 'remote' | 'env_names' | 'recursive' | 'delete' | 'dry_run' | 'user_key' | 'approval' | 'approved_by' | 'approved_by_os_user'

/**
 * What is recorded of an operation before it happens. `os_user` and `pid` default to this process's own.
 * Values of `secrets`, in any of their forms, are replaced by `[secret]` in `command`, `local` and `remote`.
 */
export type BeginFields = Required<Pick<AuditRecord, Begun>> & Pick<AuditRecord, Asked> & Pick<DraftFields, 'secrets'>

/** What is recorded of an operation when it is over. What does not apply is left out. */
export type FinishFields = Pick<
  AuditRecord,
  | 'ended'
  | 'exit_code'
  | 'error_code'
  | 'execution_time'
  | 'attempts'
  | 'attempt_errors'
  | 'engine'
  | 'kex'
  | 'cipher'
  | 'host_key'
  | 'user_key'
  | 'stdout_bytes'
  | 'stderr_bytes'
  | 'stdout_file'
  | 'stderr_file'
  | 'reason'
  | 'size_bytes'
  | 'files'
  | 'unchanged'
  | 'deleted'
  | 'failed'
  | 'sha256'
  | 'killed'
> &
  Required<Pick<AuditRecord, 'status'>>

/** What is recorded of an event that stands alone: a denial, a host that is trusted or forgotten. */
export type NoteFields = Partial<BeginFields> & Partial<FinishFields> & Pick<AuditRecord, 'op_id' | 'reason'>

/** An operation that began and is to be finished once. */
export interface AuditEntry {
  /** `op_id` of both records. */
  readonly opId: string
  /** `seq` of the begin record. */
  readonly seq: number
  /** What the begin record says; the finish record says it again, so that each can be read alone. */
  readonly begun: Draft
}

/** Where a log is and what time it goes by. */
export interface AuditOptions {
  /** Made with mode 0700 at the first record, if it is not there. */
  readonly directory: string
  readonly clock: Clock
  /** When to turn to a new file, and what old ones are kept for. Default: {@link KEEP_LIMITS}. */
  readonly limits?: KeepingLimits
  /** How long a record waits for another process that writes, in ms. Default: 10,000. */
  readonly lockTimeoutMs?: number
  /** What they match is replaced by `[secret]` as the values of `secrets` are. Default: none. */
  readonly patterns?: readonly RegExp[]
}

/** 64 MiB, a day, 90 days, 30 days. */
export const KEEP_LIMITS: KeepingLimits = { rotateBytes: 67_108_864, rotateAgeMs: 86_400_000, retentionMs: 90 * 86_400_000, outputRetentionMs: 30 * 86_400_000 }

interface Job {
  readonly draft: Draft
  /** Whether it resolves only when the disk has it. */
  readonly durable: boolean
  readonly resolve: (position: Position) => void
  readonly reject: (error: unknown) => void
}

/** The most records of one write. */
const MAX_BATCH = 256

/** How long the lock is kept when nobody else wants it: taking it costs two changes of a directory, which wait for the disk. */
const LINGER_MS = 10
const TICK_MS = 2

/** A finish is on disk after this long, if nothing comes that waits for the disk. */
const SYNC_AFTER_MS = 1000

/**
 * A log to write to. Touches no file: directory and log are opened by the first record, which fails with
 * `AUDIT_UNAVAILABLE` where they cannot be.
 */
export function openAudit(options: AuditOptions): Promise<AuditLog> {
  return Promise.resolve(new AuditLog(options))
}

/**
 * The log of this process. Many processes may have one for the same directory. Records that arrive while others are being
 * written are written together, with one lock and one wait for the disk.
 */
export class AuditLog {
  readonly #clock: Clock
  readonly #appender: Appender
  readonly #patterns: readonly RegExp[]
  readonly #osUser = osUser()
  readonly #waiting: Job[] = []
  readonly #unfinished = new Set<string>()
  #writing: Promise<void> | undefined
  /** Whether the next batch is of ends alone. */
  #endsFirst = false
  #closed = false
  #syncTimer: NodeJS.Timeout | undefined
  #wake: () => void = () => undefined
  #askedMs = 0

  constructor({ directory, clock, limits = KEEP_LIMITS, lockTimeoutMs, patterns = [] }: AuditOptions) {
    this.#clock = clock
    this.#patterns = patterns
    this.#appender = new Appender(auditFiles(directory), { clock, limits, lockTimeoutMs })
  }

  /**
   * Records that an operation begins; resolves when that is on disk, so that it may. Rejects with `AUDIT_UNAVAILABLE`
   * when it cannot be recorded: then it must not begin.
   */
  async begin(fields: BeginFields): Promise<AuditEntry> {
    const opId = newRunId(this.#clock.now())
    const begun = this.#draft('begin', { ...fields, op_id: opId })
    const { seq } = await this.#add(begun, true)
    this.#unfinished.add(opId)
    return { opId, seq, begun }
  }

  /**
   * Records how the operation ended; resolves when that is in the file, where the end of this process cannot undo it. It is on
   * disk with the next `begin`, after a second, or at `close`: waiting for it would cost every operation a second time
   * what `begin` must cost, and what a power failure can take is an end, never a beginning. Rejects with `AUDIT_UNAVAILABLE`, after which it may
   * be tried again, and with `INTERNAL` for an entry that is finished or not of this log.
   */
  async finish(entry: AuditEntry, fields: FinishFields): Promise<void> {
    if (!this.#unfinished.delete(entry.opId)) throw remexError('INTERNAL', `the operation ${entry.opId} is not open in the audit log`)
    const ended = this.#draft('finish', fields)
    try {
      await this.#add({ ...ended, ...entry.begun, event: ended.event, time: ended.time }, false)
    } catch (error) {
      this.#unfinished.add(entry.opId)
      throw error
    }
  }

  /** Records an event that stands alone (`denied`, `host_trust`); resolves when it is on disk. Rejects with `AUDIT_UNAVAILABLE`. */
  async note(event: string, fields: NoteFields): Promise<void> {
    await this.#add(this.#draft(event, fields), true)
  }

  /**
   * Hands out the end of the log, for a place that whoever can write here cannot write to: `verify` compares with it, and
   * retention removes only what one covers. Recorded itself, as `anchored`. Rejects with `AUDIT_UNAVAILABLE`.
   */
  async anchor(): Promise<Anchor> {
    const record = this.#draft('anchored', {})
    const { seq, hash } = await this.#add(record, true)
    return { seq, hash, time: record.time }
  }

  /** Waits for what is being written and closes the log. Later records are refused. Safe to repeat. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#syncTimer)
    this.#wake()
    await this.#writing
    await this.#appender.sync().finally(() => this.#appender.close())
  }

  #draft(event: string, fields: DraftFields): Draft {
    return draft(event, new Date(this.#clock.now()).toISOString(), { os_user: this.#osUser, pid: process.pid, ...fields }, this.#patterns)
  }

  #add(record: Draft, durable: boolean): Promise<Position> {
    if (this.#closed) return Promise.reject(remexError('INTERNAL', 'the audit log is closed'))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ draft: record, durable, resolve, reject })
      this.#writing ??= this.#writeAll()
      this.#wake()
    })
  }

  #syncSoon(): void {
    clearTimeout(this.#syncTimer)
    // A failure shows at the next `begin`, which waits for the same disk.
    this.#syncTimer = setTimeout(() => void this.#appender.sync().catch(() => undefined), SYNC_AFTER_MS).unref()
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#writeSome()
    this.#writing = undefined
  }

  /** Writes batches under one hold of the lock. */
  async #writeSome(): Promise<void> {
    const batch: Job[] = []
    try {
      await this.#appender.append({
        take: () => {
          batch.push(...this.#nextJobs())
          const durable = batch.some((job) => job.durable)
          if (!durable) this.#syncSoon()
          return { drafts: batch.map((job) => job.draft), durable }
        },
        written: (positions) => {
          for (const position of positions) batch.shift()?.resolve(position)
        },
        more: (isWanted) => this.#more(isWanted),
      })
    } catch (error) {
      // Nothing was taken: all that waited for the lock waited in vain, and must not wait again.
      if (batch.length === 0) batch.push(...this.#waiting.splice(0))
      for (const job of this.#refused(batch, error)) job.reject(error)
    }
  }

  #nextJobs(): readonly Job[] {
    if (!this.#endsFirst) return this.#waiting.splice(0, MAX_BATCH)
    this.#endsFirst = false
    const ends = this.#waiting.filter((job) => !job.durable).slice(0, MAX_BATCH)
    this.#waiting.splice(0, Infinity, ...this.#waiting.filter((job) => !ends.includes(job)))
    return ends
  }

  /** On a full disk what is new is refused, and the ends that came along are written once more without it. */
  #refused(batch: readonly Job[], error: unknown): readonly Job[] {
    const ends = batch.filter((job) => !job.durable)
    const isFull = error instanceof RemexError && isNoSpace(error.cause)
    if (!isFull || ends.length === 0 || ends.length === batch.length) return batch
    this.#waiting.unshift(...ends)
    this.#endsFirst = true
    return batch.filter((job) => job.durable)
  }

  /** Asking whether the lock is wanted costs a look at the disk, which not every batch need pay. */
  #isTimeToAsk(): boolean {
    const nowMs = performance.now()
    if (nowMs - this.#askedMs < TICK_MS) return false
    this.#askedMs = nowMs
    return true
  }

  /** Whether more is to be written before the lock is let go: what comes soon goes without taking it again. */
  async #more(isWanted: () => boolean): Promise<boolean> {
    for (let waitedMs = 0; waitedMs < LINGER_MS; waitedMs += TICK_MS) {
      if (this.#isTimeToAsk() && isWanted()) return false
      if (this.#waiting.length > 0) return true
      if (this.#closed) return false
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        setTimeout(resolve, TICK_MS)
      })
    }
    return this.#waiting.length > 0
  }
}

function osUser(): string {
  try {
    return userInfo().username
  } catch {
    // No entry in the user database, as in many containers.
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
