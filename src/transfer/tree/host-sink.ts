import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { asRemexError, remexError } from '../../core/errors.ts'
import type { RemexError } from '../../core/errors.ts'
import type { MovedFile } from '../../core/transfer-result.ts'
import type { TransferAccess } from '../access.ts'
import { BATCH_BYTES } from '../batch/limits.ts'
import type { HostTools } from '../batch/host-tools.ts'
import { batchMemberName, putBatch } from '../batch/put-batch.ts'
import type { PutFile } from '../batch/put-batch.ts'
import { localError } from '../local-side.ts'
import { openSource } from '../local-source.ts'
import { planMode } from '../mode.ts'
import { joinPath, showPath } from '../path-name.ts'
import type { MoveOptions } from '../receipt.ts'
import { replaceRemote } from '../replace.ts'
import type { SftpClient } from '../sftp/client.ts'
import { targetOf } from '../target.ts'
import { sendFile } from '../upload.ts'
import { sha256Of } from './content-hash.ts'
import { inGroups } from './in-groups.ts'
import { ALONE_AT_ONCE, outcomesOf, togetherOrAlone } from './outcomes.ts'
import { Pace } from './pace.ts'
import { partOf } from './progress.ts'
import { sameOf } from './same-content.ts'
import type { StagingPlace } from './staging.ts'
import { LANES_OF_A_FILE } from './tree-sink.ts'
import type { FileOutcome, FileStep, TreeSink, WantedAttributes } from './tree-sink.ts'

/** A file above this goes by itself: the round trips of its own are nothing beside its content. */
const SMALL_BYTES = BATCH_BYTES / 8
const RENAMES_AT_ONCE = 64

/** A file of a batch, and its place among those that were asked for. */
interface Sent {
  readonly file: FileStep
  readonly index: number
  readonly content: PutFile
}

/** What a tree on a host is made with. */
export interface HostTree {
  readonly access: TransferAccess
  readonly sftp: SftpClient
  /** Resolves with null where the host has no shell, or too little in it: every file goes by itself. Found when first asked for. */
  readonly tools: () => Promise<HostTools | null>
  /** Of the tree here and there, absolute. */
  readonly localRoot: Buffer
  readonly remoteRoot: Buffer
  /** On the host, inside the tree: for files that do not have their names yet. */
  readonly staging: StagingPlace
  readonly options: MoveOptions
  /** Told of bytes as they arrive. */
  readonly onMoved: (byteCount: number) => void
}

/** A tree on the host, made like one here. */
export class HostSink implements TreeSink {
  readonly #tree: HostTree

  constructor(tree: HostTree) {
    this.#tree = tree
  }

  makeDirectory(path: Buffer, mode: number): Promise<void> {
    return this.#tree.sftp.mkdir(this.#there(path), { mode: (mode & 0o777) | 0o700 })
  }

  async makeLink(path: Buffer, points: Buffer): Promise<void> {
    const { sftp, staging } = this.#tree
    const temporary = await staging.next()
    await sftp.symlink(points, temporary)
    await replaceRemote(sftp, temporary, targetOf(this.#there(path), null))
  }

  remove(path: Buffer, isDirectory: boolean): Promise<void> {
    const { sftp } = this.#tree
    return isDirectory ? sftp.rmdir(this.#there(path)) : sftp.remove(this.#there(path))
  }

  async setAttributes(path: Buffer, { mode, times }: WantedAttributes): Promise<void> {
    await this.#tree.sftp.setstat(this.#there(path), { ...(mode === undefined ? {} : { mode }), ...times })
  }

  isSmall(sizeBytes: number): boolean {
    return sizeBytes <= SMALL_BYTES
  }

  async moveSmall(files: readonly FileStep[]): Promise<readonly FileOutcome[]> {
    const tools = await this.#tree.tools()
    const alone = (file: FileStep): Promise<FileOutcome> => this.moveOne(file)
    if (tools === null) return outcomesOf(files, ALONE_AT_ONCE, alone)
    return togetherOrAlone(files, () => this.#moveTogether(files, tools), alone)
  }

  async #moveTogether(files: readonly FileStep[], tools: HostTools): Promise<readonly FileOutcome[]> {
    const read = await this.#read(files, tools)
    const same = await this.#same(files, read, tools)
    const outcomes: FileOutcome[] = []
    const sent: Sent[] = []
    for (const [index, file] of files.entries()) {
      const content = read[index]
      if (content === undefined || content instanceof Error) outcomes[index] = content ?? remexError('INTERNAL', 'a file was lost count of')
      else if (same.has(index)) outcomes[index] = 'same'
      else sent.push({ file, index, content })
    }
    if (sent.length > 0) await this.#send(sent, tools, outcomes)
    return outcomes
  }

  async moveOne({ path, existing }: FileStep): Promise<MovedFile | 'same'> {
    const { access, sftp, options, onMoved } = this.#tree
    const source = await openSource({ localPath: joinPath(this.#tree.localRoot, path), follow: false })
    try {
      const target = targetOf(this.#there(path), existing)
      const { sizeBytes, sha256, mode, verified, isUnchanged } = await sendFile({ access, sftp, source, request: { ...options, keepTimes: true, mostLanes: LANES_OF_A_FILE, onProgress: partOf(onMoved) } }, target)
      return isUnchanged ? 'same' : { path, sizeBytes, sha256, mode, verified }
    } finally {
      await source.close()
    }
  }

  cleanUp(): Promise<void> {
    return this.#tree.staging.remove()
  }

  #there(path: Buffer): Buffer {
    return path.length === 0 ? this.#tree.remoteRoot : joinPath(this.#tree.remoteRoot, path)
  }

  /** The content of each file, or why it cannot be read. */
  async #read(files: readonly FileStep[], { umask }: HostTools): Promise<(PutFile | RemexError)[]> {
    const pace = new Pace()
    const read: (PutFile | RemexError)[] = []
    for (const file of files) {
      read.push(this.#readOne(file, umask))
      if (pace.isDue) await pace.turn()
    }
    return read
  }

  #readOne({ path, existing }: FileStep, umask: number): PutFile | RemexError {
    const local = joinPath(this.#tree.localRoot, path)
    try {
      const { content, mode, mtime } = readSmall(local)
      const { mode: given, preserve } = this.#tree.options
      const plan = planMode({ given: given ?? (preserve ? mode : undefined), existing: existing?.mode, source: mode })
      return { content, sha256: sha256Of(content), mode: plan.fixedMode ?? plan.finalMode(plan.createMode & ~umask), mtime: Math.max(0, mtime) }
    } catch (error) {
      return asRemexError(localError(error, 'read', local))
    }
  }

  /** Which of the files are at the target already, where that is to be told by their content. */
  async #same(files: readonly FileStep[], read: readonly (PutFile | RemexError)[], tools: HostTools): Promise<ReadonlySet<number>> {
    const { options, access, remoteRoot } = this.#tree
    if (!options.checksum) return new Set()
    const same = await sameOf({ access, tools, root: remoteRoot, signal: options.signal }, files, (index) => {
      const content = read[index]
      return content === undefined || content instanceof Error ? undefined : content.sha256
    })
    for (const index of same) {
      const [file, content] = [files[index], read[index]]
      if (file !== undefined && content !== undefined && !(content instanceof Error)) await this.#sameAttributes(file, content)
    }
    return same
  }

  /** Next time its time tells that it is the same. */
  async #sameAttributes({ path, existing, entry }: FileStep, { mode }: PutFile): Promise<void> {
    const { mtime } = entry
    const isRight = existing?.mtime === mtime && existing.mode === mode
    if (!isRight) await this.setAttributes(path, { mode, times: { atime: mtime, mtime } })
  }

  /** Sends files together, and gives them their names; fills in `outcomes`. */
  async #send(files: readonly Sent[], tools: HostTools, outcomes: FileOutcome[]): Promise<void> {
    const { access, staging, options, onMoved } = this.#tree
    const directory = await staging.next()
    const nameOf = (index: number): Buffer => files[index]?.file.path ?? Buffer.alloc(0)
    await options.limit?.take(files.reduce((sum, { content }) => sum + content.content.length, 0), options.signal)
    await putBatch(access, tools, { directory, files: files.map(({ content }) => content), nameOf, signal: options.signal, onSent: onMoved })
    await inGroups(files, RENAMES_AT_ONCE, async ({ file, index, content }, member) => {
      outcomes[index] = await this.#rename(joinPath(directory, Buffer.from(batchMemberName(member))), file, content)
    })
    await staging.drop(directory)
  }

  async #rename(from: Buffer, file: FileStep, { content, sha256, mode }: PutFile): Promise<FileOutcome> {
    try {
      await replaceRemote(this.#tree.sftp, from, targetOf(this.#there(file.path), file.existing))
      return { path: file.path, sizeBytes: content.length, sha256, mode, verified: true }
    } catch (error) {
      const known = asRemexError(error)
      // Another file system may be mounted inside the tree, where no rename goes.
      if (known.code !== 'TRANSFER_FAILED') return known
      return this.moveOne(file).catch((again: unknown) => asRemexError(again))
    }
  }
}

/** A small file as it is at one moment. Throws where it is none any more, or changes while it is read. */
function readSmall(path: Buffer): { content: Buffer; mode: number; mtime: number } {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const before = fstatSync(descriptor)
    if (!before.isFile()) throw remexError('TRANSFER_FAILED', `the local ${showPath(path)} is not a regular file any more`)
    if (before.size > BATCH_BYTES) throw remexError('TRANSFER_FAILED', `the local ${showPath(path)} has grown while it was read`)
    const buffer = Buffer.allocUnsafe(before.size + 1)
    let filled = 0
    for (let count = -1; count !== 0 && filled < buffer.length; filled += count) count = readSync(descriptor, buffer, filled, buffer.length - filled, null)
    const after = fstatSync(descriptor)
    const isSteady = filled === before.size && after.size === before.size && after.mtimeMs === before.mtimeMs
    if (!isSteady) throw remexError('TRANSFER_FAILED', `the local ${showPath(path)} changed while it was read`, { hint: 'Repeat when nobody writes to it.' })
    return { content: buffer.subarray(0, filled), mode: before.mode & 0o777, mtime: Math.floor(before.mtimeMs / 1000) }
  } finally {
    closeSync(descriptor)
  }
}
