import { asRemexError, remexError, type ErrorCode, type RemexError } from '../../core/errors.ts'
import { throwIfAborted } from '../abort.ts'
import { BATCH_BYTES, BATCH_FILES } from '../batch/limits.ts'
import { directoryName, showPath } from '../path-name.ts'
import type { Step } from './entry.ts'
import type { Manifest } from './manifest.ts'
import { Slots } from './slots.ts'
import type { FileOutcome, FileStep, NewDirectory, TreeSink } from './tree-sink.ts'

/** What is counted besides the files that were moved. */
export interface TreeTally {
  /** Files and links that were the same already. */
  unchanged: number
  /** Directories and links that were made. */
  directories: number
  links: number
  deleted: number
  /** Devices, pipes and sockets, which are not moved. */
  skipped: number
  /** Everything that failed by itself while the rest went on. */
  failed: number
  /** The first of them. */
  readonly failures: { readonly path: string; readonly error: RemexError }[]
}

/** One tree on its way. */
export interface TreeMove {
  readonly steps: AsyncIterable<Step>
  readonly sink: TreeSink
  /** Gets the receipts of what is moved. */
  readonly manifest: Manifest
  readonly tally: TreeTally
  /** Gives directories and files that are the same already the mode of the source, and directories its times. */
  readonly preserve: boolean
  readonly signal: AbortSignal | undefined
  /** As `MoveOptions` has it: batches are held in memory. */
  readonly beside: number
}

/** Batches and single files under way at once; each has a channel of its own, and sshd allows ten. */
const BATCHES_AT_ONCE = 2
const FILES_AT_ONCE = 2
const DIRECTORIES_AT_ONCE = 64
const REMOVALS_AT_ONCE = 32
/** A directory comes with its files from here on; for fewer, giving each its name is as quick. */
const WORTH_BRINGING_FILES = 4
/** What the batches of all trees under way at once may hold together. */
const ALL_BATCH_BYTES = BATCHES_AT_ONCE * BATCH_BYTES
/** Failures that are told one by one; the others are counted. */
const MOST_FAILURES = 100
/** What would meet every other file too. */
const FATAL: readonly ErrorCode[] = [
  'CANCELLED', 'TIMED_OUT', 'CONNECTION_LOST', 'NO_SPACE', 'UNREACHABLE', 'AUTH_FAILED', 'THROTTLED', 'CONNECT_TIMEOUT', 'INTERNAL',
]

/** A tally of nothing. */
export function emptyTally(): TreeTally {
  return { unchanged: 0, directories: 0, links: 0, deleted: 0, skipped: 0, failed: 0, failures: [] }
}

/**
 * Takes the steps that make the sink like the source. What fails by itself is in the tally, and the rest goes on; then
 * nothing is deleted that is not in the way, because a source that cannot be read whole is no pattern. Rejects with what
 * stops everything: the signal's reason, a lost connection, a full disk.
 */
export async function moveTree(move: TreeMove): Promise<void> {
  const mover = new Mover(move)
  try {
    for await (const step of move.steps) await mover.take(step)
    await mover.finish()
  } finally {
    await mover.settled()
    await move.sink.cleanUp()
  }
}

class Mover {
  readonly #move: TreeMove
  readonly #mostBatchBytes: number
  readonly #batches = new Slots(BATCHES_AT_ONCE)
  readonly #files = new Slots(FILES_AT_ONCE)
  readonly #directories = new Slots(DIRECTORIES_AT_ONCE)
  /** Directories that are being made; what is in them waits. */
  readonly #making = new Map<string, Promise<void>>()
  #batch: FileStep[] = []
  #batchDirectories: NewDirectory[] = []
  #batchBytes = 0
  /** A new directory of which so far all is in the batch: it may come with its files, in one step for whoever looks. */
  #candidate: (NewDirectory & { readonly files: { count: number } }) | undefined
  readonly #extras: Extract<Step, { kind: 'extra' }>[] = []
  /** Directories whose mode or times are set when everything in them is there, the innermost first. */
  readonly #leaves: { path: Buffer; mode: number; mtime: number }[] = []
  readonly #fresh = new Set<string>()
  #fatal: RemexError | undefined

  constructor(move: TreeMove) {
    this.#move = move
    this.#mostBatchBytes = ALL_BATCH_BYTES / move.beside / BATCHES_AT_ONCE
  }

  async take(step: Step): Promise<void> {
    this.#throwIfOver()
    const { tally, sink } = this.#move
    switch (step.kind) {
      case 'directory':
        await this.#makeCandidate()
        if (step.existing === null) this.#candidate = { path: step.path, mode: step.entry.mode, files: { count: 0 } }
        return
      case 'leave':
        await this.#leaveCandidate(step.path)
        return this.#leave(step.path, step.entry)
      case 'file':
        if (sink.isSmall(step.entry.sizeBytes)) return this.#gather(step)
        await this.#makeCandidate()
        return this.#files.start(() => this.#moveOne(step))
      case 'link':
        await this.#makeCandidate()
        return this.#files.start(() => this.#link(step))
      case 'same':
        tally.unchanged++
        return this.#keepMode(step)
      case 'extra':
        if (!step.isInTheWay) this.#extras.push(step)
        else await this.#remove(step)
        return
      case 'skipped':
        tally.skipped++
        return
      case 'failed':
        this.#failed(step.path, step.error)
    }
  }

  /** Waits for what is under way, then does what comes last. */
  async finish(): Promise<void> {
    await this.#flush()
    await this.#settledOrFatal()
    if (this.#move.tally.failed === 0) await this.#removeExtras()
    for (const { path, mode, mtime } of this.#leaves) await this.#files.start(() => this.#finishDirectory(path, { mode, mtime }))
    await this.#settledOrFatal()
  }

  /** Resolves when nothing is under way. Never rejects. */
  async settled(): Promise<void> {
    await Promise.all([this.#batches.settled(), this.#files.settled(), this.#directories.settled()])
  }

  async #settledOrFatal(): Promise<void> {
    await this.settled()
    this.#throwIfOver()
  }

  #throwIfOver(): void {
    if (this.#fatal !== undefined) throw this.#fatal
    throwIfAborted(this.#move.signal)
  }

  /** What is to be in the candidate does not come with the batch: it is made by itself. */
  async #makeCandidate(): Promise<void> {
    const candidate = this.#candidate
    this.#candidate = undefined
    if (candidate !== undefined) await this.#directories.start(() => this.#make(candidate.path, candidate.mode))
  }

  /** All of a directory was told. */
  async #leaveCandidate(path: Buffer): Promise<void> {
    const candidate = this.#candidate
    if (candidate === undefined || !candidate.path.equals(path) || candidate.files.count < WORTH_BRINGING_FILES || path.length === 0) return this.#makeCandidate()
    this.#candidate = undefined
    this.#batchDirectories.push(candidate)
  }

  async #make(path: Buffer, mode: number): Promise<void> {
    const key = path.toString('latin1')
    const made = this.#parentOf(path).then(() => this.#move.sink.makeDirectory(path, mode))
    this.#making.set(key, made)
    try {
      await made
      this.#making.delete(key)
      this.#move.tally.directories++
      this.#fresh.add(key)
    } catch (error) {
      // Without its root there is no tree.
      if (path.length === 0) this.#stop(error)
      else this.#failed(path, error)
    }
  }

  /** Settles when the directory that holds `path` is there. */
  async #parentOf(path: Buffer): Promise<void> {
    if (path.length > 0) await this.#making.get(parentKey(path))
  }

  #leave(path: Buffer, { mode, mtime }: { readonly mode: number; readonly mtime: number }): void {
    // One that is new was made so that we can write to it.
    if (this.#move.preserve || (mode & 0o700) !== 0o700) this.#leaves.push({ path, mode, mtime })
  }

  async #finishDirectory(path: Buffer, { mode, mtime }: { readonly mode: number; readonly mtime: number }): Promise<void> {
    const { preserve, sink } = this.#move
    if (!preserve && !this.#fresh.has(path.toString('latin1'))) return
    const times = preserve ? { atime: mtime, mtime } : undefined
    await sink.setAttributes(path, { mode, times }).catch((error: unknown) => this.#failed(path, error))
  }

  async #gather(step: FileStep): Promise<void> {
    this.#batch.push(step)
    this.#batchBytes += step.entry.sizeBytes
    if (this.#candidate !== undefined) this.#candidate.files.count++
    if (this.#batch.length >= BATCH_FILES || this.#batchBytes >= this.#mostBatchBytes) await this.#flush()
  }

  async #flush(): Promise<void> {
    await this.#makeCandidate()
    const [files, directories] = [this.#batch, this.#batchDirectories]
    this.#batch = []
    this.#batchDirectories = []
    this.#batchBytes = 0
    if (files.length > 0) await this.#batches.start(() => this.#moveSmall(files, directories))
  }

  async #moveSmall(all: readonly FileStep[], directories: readonly NewDirectory[]): Promise<void> {
    try {
      await Promise.all(directories.map(({ path }) => this.#parentOf(path).catch(() => undefined)))
      const ready = await Promise.all(all.map((file) => this.#parentOf(file.path).then(() => file, (error: unknown) => this.#failed(file.path, error))))
      const files = ready.filter((file) => file !== undefined)
      const outcomes = await this.#move.sink.moveSmall(files, directories)
      this.#move.tally.directories += directories.length
      for (const { path } of directories) this.#fresh.add(path.toString('latin1'))
      for (const [index, file] of files.entries()) this.#ended(file, outcomes[index])
    } catch (error) {
      this.#stop(error)
    }
  }

  async #moveOne(file: FileStep): Promise<void> {
    try {
      await this.#parentOf(file.path)
      this.#ended(file, await this.#move.sink.moveOne(file))
    } catch (error) {
      this.#failed(file.path, error)
    }
  }

  #ended(file: FileStep, outcome: FileOutcome | undefined): void {
    if (outcome === 'same') this.#move.tally.unchanged++
    else if (outcome === undefined || outcome instanceof Error) this.#failed(file.path, outcome ?? remexError('INTERNAL', 'a file was lost count of'))
    else this.#move.manifest.add(outcome)
  }

  async #link({ path, points }: Extract<Step, { kind: 'link' }>): Promise<void> {
    try {
      await this.#parentOf(path)
      await this.#move.sink.makeLink(path, points)
      this.#move.tally.links++
    } catch (error) {
      this.#failed(path, error)
    }
  }

  async #keepMode({ path, entry, existing }: Extract<Step, { kind: 'same' }>): Promise<void> {
    if (!this.#move.preserve || entry.kind !== 'file' || (entry.mode & 0o777) === (existing.mode & 0o777)) return
    await this.#files.start(() => this.#move.sink.setAttributes(path, { mode: entry.mode & 0o777, times: undefined }).catch((error: unknown) => this.#failed(path, error)))
  }

  async #remove({ path, entry }: Extract<Step, { kind: 'extra' }>): Promise<void> {
    try {
      await this.#move.sink.remove(path, entry.kind === 'directory')
      this.#move.tally.deleted++
    } catch (error) {
      this.#failed(path, error)
    }
  }

  /** Directories come after what is in them, so each waits for all before it. */
  async #removeExtras(): Promise<void> {
    const slots = new Slots(REMOVALS_AT_ONCE)
    for (const extra of this.#extras) {
      if (extra.entry.kind === 'directory') await slots.settled()
      await slots.start(() => this.#remove(extra))
    }
    await slots.settled()
  }

  #failed(path: Buffer, error: unknown): void {
    const known = asRemexError(error)
    if (FATAL.includes(known.code)) return this.#stop(known)
    // What comes of it is not counted besides.
    if (this.#fatal !== undefined) return
    const { tally } = this.#move
    tally.failed++
    if (tally.failures.length < MOST_FAILURES) tally.failures.push({ path: showPath(path), error: known })
  }

  #stop(error: unknown): void {
    this.#fatal ??= asRemexError(error)
  }
}

function parentKey(path: Buffer): string {
  const parent = directoryName(path).toString('latin1')
  return parent === '.' ? '' : parent
}
