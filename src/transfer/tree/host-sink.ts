import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { asRemexError, remexError } from '../../core/errors.ts'
import type { RemexError } from '../../core/errors.ts'
import type { MovedFile } from '../../core/transfer-result.ts'
import { BATCH_BYTES, SMALL_BYTES } from '../batch/limits.ts'
import type { HostTools } from '../batch/host-tools.ts'
import { batchMemberName, isPlainName, putBatch } from '../batch/put-batch.ts'
import type { PutFile } from '../batch/put-batch.ts'
import { localError } from '../local-side.ts'
import { openSource } from '../local-source.ts'
import { planMode } from '../mode.ts'
import { joinPath, showPath } from '../path-name.ts'
import { replaceRemote } from '../replace.ts'
import { targetOf } from '../target.ts'
import { sendFile } from '../upload.ts'
import { sha256Of } from './content-hash.ts'
import { BroughtDirectories } from './brought-directories.ts'
import { inGroups } from './in-groups.ts'
import { ALONE_AT_ONCE, outcomesOf, togetherOrAlone } from './outcomes.ts'
import { Pace } from './pace.ts'
import { partOf } from './progress.ts'
import { sameOf } from './same-content.ts'
import { LANES_OF_A_FILE } from './tree-sink.ts'
import type { FileOutcome, FileStep, NewDirectory, SinkTree, TreeSink, WantedAttributes } from './tree-sink.ts'

const RENAMES_AT_ONCE = 64

/** A file of a batch, and its place among those that were asked for. */
interface Sent {
  readonly file: FileStep
  readonly index: number
  readonly content: PutFile
}

interface Sending {
  readonly brought: BroughtDirectories
  readonly tools: HostTools
  readonly outcomes: FileOutcome[]
}

/** A tree on the host, made like one here. */
export class HostSink implements TreeSink {
  readonly #tree: SinkTree

  constructor(tree: SinkTree) {
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
    // The first file: while a batch is gathered, the host is asked what it has for it.
    this.#tree.tools().catch(() => undefined)
    return sizeBytes <= SMALL_BYTES
  }

  async moveSmall(files: readonly FileStep[], directories: readonly NewDirectory[]): Promise<readonly FileOutcome[]> {
    const tools = await this.#tree.tools()
    const alone = async (file: FileStep): Promise<FileOutcome> => this.moveOne(file)
    if (tools !== null) return togetherOrAlone(files, () => this.#moveTogether(files, directories, tools), alone)
    await this.#makeAll(directories)
    return outcomesOf(files, ALONE_AT_ONCE, alone)
  }

  /** What stands in the way is told of each file. */
  async #makeAll(directories: readonly NewDirectory[]): Promise<void> {
    await Promise.all(directories.map(({ path, mode }) => this.makeDirectory(path, mode).catch(() => undefined)))
  }

  async #moveTogether(files: readonly FileStep[], directories: readonly NewDirectory[], tools: HostTools): Promise<readonly FileOutcome[]> {
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
    const brought = new BroughtDirectories(directories, sent.map(({ file }) => file.path), isPlainName)
    await this.#makeAll(brought.others)
    try {
      if (sent.length > 0) await this.#send(sent, { brought, tools, outcomes })
    } catch (error) {
      await this.#makeAll(brought.directories)
      throw error
    }
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

  /** Sends files together, and gives them and the directories that come with them their names; fills in `outcomes`. */
  async #send(files: readonly Sent[], { brought, tools, outcomes }: Sending): Promise<void> {
    const { access, staging, options, onMoved } = this.#tree
    const directory = await staging.next()
    const nameOf = (index: number): Buffer => files[index]?.file.path ?? Buffer.alloc(0)
    await options.limit?.take(files.reduce((sum, { content }) => sum + content.content.length, 0), options.signal)
    const named = files.map(({ file, content }) => {
      const name = brought.nameOf(file.path)?.toString('latin1')
      return name === undefined ? content : { ...content, name }
    })
    const directories = brought.directories.map(({ mode }, at) => ({ name: brought.memberName(at), mode: ((mode & 0o777) | 0o700) & ~tools.umask }))
    await putBatch(access, tools, { directory, files: named, directories, nameOf, signal: options.signal, onSent: onMoved })
    const failures = await this.#bring(directory, brought)
    await inGroups(files, RENAMES_AT_ONCE, async ({ file, index, content }, member) => {
      const failure = failures.get(brought.directoryOf(file.path) ?? -1)
      if (failure !== undefined) outcomes[index] = failure
      else if (named[member]?.name !== undefined) outcomes[index] = receiptOf(file, content)
      else outcomes[index] = await this.#rename(joinPath(directory, Buffer.from(batchMemberName(member))), file, content)
    })
    await staging.drop(directory)
  }

  /** Gives new directories their place, with all that is in them. Resolves with what stood in the way of which. */
  async #bring(from: Buffer, brought: BroughtDirectories): Promise<ReadonlyMap<number, RemexError>> {
    const failures = new Map<number, RemexError>()
    const { sftp } = this.#tree
    await inGroups(brought.directories, RENAMES_AT_ONCE, async ({ path }, at) => {
      const staged = joinPath(from, Buffer.from(brought.memberName(at)))
      await sftp.rename(staged, this.#there(path)).catch((error: unknown) => void failures.set(at, asRemexError(error)))
    })
    return failures
  }

  async #rename(from: Buffer, file: FileStep, content: PutFile): Promise<FileOutcome> {
    try {
      await replaceRemote(this.#tree.sftp, from, targetOf(this.#there(file.path), file.existing))
      return receiptOf(file, content)
    } catch (error) {
      const known = asRemexError(error)
      // Another file system may be mounted inside the tree, where no rename goes.
      if (known.code !== 'TRANSFER_FAILED') return known
      return this.moveOne(file).catch((again: unknown) => asRemexError(again))
    }
  }
}

function receiptOf({ path }: FileStep, { content, sha256, mode }: PutFile): MovedFile {
  return { path, sizeBytes: content.length, sha256, mode, verified: true }
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
