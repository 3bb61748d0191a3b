import { spawn } from 'node:child_process'
import { closeSync, constants, fchmodSync, fstatSync, futimesSync, openSync, renameSync, writeSync } from 'node:fs'
import { chmod, mkdir, open, rename, rm, rmdir, symlink, unlink, utimes } from 'node:fs/promises'
import { asRemexError, remexError } from '../../core/errors.ts'
import type { RemexError } from '../../core/errors.ts'
import type { MovedFile } from '../../core/transfer-result.ts'
import { throwIfAborted } from '../abort.ts'
import type { Fetched } from '../batch/batch-reader.ts'
import { getBatch } from '../batch/get-batch.ts'
import type { HostTools } from '../batch/host-tools.ts'
import { SMALL_BYTES } from '../batch/limits.ts'
import { findRemote, receiveFile } from '../download.ts'
import { localError } from '../local-side.ts'
import { openSource } from '../local-source.ts'
import { planMode } from '../mode.ts'
import { joinPath } from '../path-name.ts'
import { targetOf } from '../target.ts'
import { ALONE_AT_ONCE, outcomesOf, togetherOrAlone } from './outcomes.ts'
import { Pace } from './pace.ts'
import { partOf } from './progress.ts'
import { sameOf } from './same-content.ts'
import type { StagingEnd } from './staging.ts'
import { LANES_OF_A_FILE } from './tree-sink.ts'
import { BroughtDirectories } from './brought-directories.ts'
import type { FileOutcome, FileStep, NewDirectory, SinkTree, TreeSink, WantedAttributes } from './tree-sink.ts'

/** A file that has all but its name. */
interface Staged {
  readonly path: Buffer
  /** Whether its directory gives it its name. */
  readonly isBrought: boolean
  readonly receipt: MovedFile
}

interface Storing {
  readonly fetched: readonly (Fetched | null)[]
  readonly brought: BroughtDirectories
}

/** A tree here, made like one on the host. */
export class LocalSink implements TreeSink {
  readonly #tree: SinkTree

  constructor(tree: SinkTree) {
    this.#tree = tree
  }

  makeDirectory(path: Buffer, mode: number): Promise<void> {
    return named('make the directory', this.#here(path), (here) => mkdir(here, (mode & 0o777) | 0o700))
  }

  async makeLink(path: Buffer, points: Buffer): Promise<void> {
    const temporary = await this.#tree.staging.next()
    await named('make the link', this.#here(path), async (here) => {
      await symlink(points, temporary)
      await rename(temporary, here)
    })
  }

  remove(path: Buffer, isDirectory: boolean): Promise<void> {
    return named('remove', this.#here(path), (here) => (isDirectory ? rmdir(here) : unlink(here)))
  }

  setAttributes(path: Buffer, { mode, times }: WantedAttributes): Promise<void> {
    return named('set the attributes of', this.#here(path), async (here) => {
      if (mode !== undefined) await chmod(here, mode)
      if (times !== undefined) await utimes(here, times.atime, times.mtime)
    })
  }

  isSmall(sizeBytes: number): boolean {
    // The first file: while a batch is gathered, the host is asked what it has for it.
    this.#tree.tools().catch(() => undefined)
    return sizeBytes <= SMALL_BYTES
  }

  async moveSmall(files: readonly FileStep[], directories: readonly NewDirectory[]): Promise<readonly FileOutcome[]> {
    const tools = await this.#tree.tools()
    const alone = (file: FileStep): Promise<FileOutcome> => this.moveOne(file)
    if (tools !== null) return togetherOrAlone(files, () => this.#moveTogether(files, directories, tools), alone)
    await this.#makeAll(directories)
    return outcomesOf(files, ALONE_AT_ONCE, alone)
  }

  /** What stands in the way is told of each file. */
  async #makeAll(directories: readonly NewDirectory[]): Promise<void> {
    for (const { path, mode } of directories) await this.makeDirectory(path, mode).catch(() => undefined)
  }

  async #moveTogether(files: readonly FileStep[], directories: readonly NewDirectory[], tools: HostTools): Promise<readonly FileOutcome[]> {
    const { access, remoteRoot, options, onMoved } = this.#tree
    const same = await this.#same(files, tools)
    const wanted = files.filter((_file, index) => !same.has(index))
    const asked = wanted.map(({ path, entry }) => ({ path, sizeBytes: entry.sizeBytes }))
    const fetched = wanted.length === 0 ? [] : await getBatch(access, tools, { root: remoteRoot, files: asked, signal: options.signal, onReceived: onMoved })
    await options.limit?.take(fetched.reduce((sum, one) => sum + (one?.content.length ?? 0), 0), options.signal)
    const brought = new BroughtDirectories(directories, wanted.flatMap(({ path }, at) => (fetched[at] ? [path] : [])))
    await this.#makeAll(brought.others)
    const moved = (await this.#store(wanted, { fetched, brought })).values()
    const outcomes: FileOutcome[] = []
    for (const index of files.keys()) outcomes.push(same.has(index) ? 'same' : (moved.next().value ?? remexError('INTERNAL', 'a file was lost count of')))
    return outcomes
  }

  async moveOne({ path, existing }: FileStep): Promise<MovedFile | 'same'> {
    const { access, sftp, remoteRoot, options, onMoved } = this.#tree
    const source = await findRemote(sftp, joinPath(remoteRoot, path))
    const request = { ...options, keepTimes: true, mostLanes: LANES_OF_A_FILE, onProgress: partOf(onMoved) }
    const { sizeBytes, sha256, mode, verified, isUnchanged } = await receiveFile({ access, sftp, source, request }, targetOf(this.#here(path), existing))
    return isUnchanged ? 'same' : { path, sizeBytes, sha256, mode, verified }
  }

  cleanUp(): Promise<void> {
    return this.#tree.staging.remove()
  }

  #here(path: Buffer): Buffer {
    return path.length === 0 ? this.#tree.localRoot : joinPath(this.#tree.localRoot, path)
  }

  /** Which of the files are here already, where that is to be told by their content. */
  async #same(files: readonly FileStep[], tools: HostTools): Promise<ReadonlySet<number>> {
    const { options, access, remoteRoot } = this.#tree
    if (!options.checksum) return new Set()
    const ours = await Promise.all(files.map(async ({ path, entry, existing }) => (existing?.sizeBytes === entry.sizeBytes ? hashOf(this.#here(path)) : undefined)))
    const same = await sameOf({ access, tools, root: remoteRoot, signal: options.signal }, files, (index) => ours[index])
    for (const index of same) {
      const mtime = files[index]?.entry.mtime ?? 0
      if (files[index]?.existing?.mtime !== mtime) await this.setAttributes(files[index]?.path ?? Buffer.alloc(0), { mode: undefined, times: { atime: mtime, mtime } })
    }
    return same
  }

  /** Gives what was fetched its place; what was not fetched well goes by itself. */
  async #store(files: readonly FileStep[], { fetched, brought }: Storing): Promise<FileOutcome[]> {
    const directory = await this.#tree.staging.next()
    try {
      await mkdir(directory, 0o700)
      for (const [at, { mode }] of brought.directories.entries()) await mkdir(joinPath(directory, Buffer.from(brought.memberName(at))), (mode & 0o777) | 0o700)
      const staged = await this.#write(files, { fetched, brought }, directory)
      await syncFileSystem(directory, staged.flatMap((one) => (one === undefined || one instanceof Error ? [] : [one.path])))
      throwIfAborted(this.#tree.options.signal)
      const failures = await this.#bring(directory, brought)
      return await this.#rename(files, staged, (path) => failures.get(brought.directoryOf(path) ?? -1))
    } catch (error) {
      await this.#makeAll(brought.directories)
      throw error
    } finally {
      await this.#tree.staging.drop(directory)
    }
  }

  async #write(files: readonly FileStep[], { fetched, brought }: Storing, directory: Buffer): Promise<(Staged | RemexError | undefined)[]> {
    const pace = new Pace()
    const staged: (Staged | RemexError | undefined)[] = []
    for (const [index, file] of files.entries()) {
      const content = fetched[index]
      const name = brought.nameOf(file.path)
      staged.push(content ? this.#writeOne(joinPath(directory, name ?? Buffer.from(String(index))), file, { content, isBrought: name !== undefined }) : undefined)
      if (pace.isDue) await pace.turn()
    }
    return staged
  }

  /** Gives new directories their place, with all that is in them. Resolves with what stood in the way of which. */
  async #bring(from: Buffer, brought: BroughtDirectories): Promise<ReadonlyMap<number, RemexError>> {
    const failures = new Map<number, RemexError>()
    for (const [at, { path }] of brought.directories.entries()) {
      const staged = joinPath(from, Buffer.from(brought.memberName(at)))
      await named('make the directory', this.#here(path), (here) => rename(staged, here)).catch((error: unknown) => failures.set(at, asRemexError(error)))
    }
    return failures
  }

  #writeOne(path: Buffer, file: FileStep, { content: { content, sha256 }, isBrought }: { content: Fetched; isBrought: boolean }): Staged | RemexError {
    const { mode: given, preserve } = this.#tree.options
    const { entry, existing } = file
    const plan = planMode({ given: given ?? (preserve ? entry.mode & 0o777 : undefined), existing: existing?.mode, source: entry.mode })
    try {
      const descriptor = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, plan.createMode)
      try {
        for (let at = 0; at < content.length; ) at += writeSync(descriptor, content, at)
        const created = fstatSync(descriptor).mode & 0o7777
        const mode = plan.finalMode(created)
        if (mode !== created) fchmodSync(descriptor, mode)
        futimesSync(descriptor, entry.mtime, entry.mtime)
        return { path, isBrought, receipt: { path: file.path, sizeBytes: content.length, sha256, mode, verified: true } }
      } finally {
        closeSync(descriptor)
      }
    } catch (error) {
      return asRemexError(localError(error, 'write', path))
    }
  }

  async #rename(files: readonly FileStep[], staged: readonly (Staged | RemexError | undefined)[], failureOf: (path: Buffer) => RemexError | undefined): Promise<FileOutcome[]> {
    const pace = new Pace()
    const outcomes: FileOutcome[] = []
    for (const [index, file] of files.entries()) {
      const one = staged[index]
      if (one === undefined) outcomes.push(await this.#alone(file))
      else if (one instanceof Error) outcomes.push(one)
      else outcomes.push(failureOf(file.path) ?? (one.isBrought ? one.receipt : this.#renameOne(one)))
      if (pace.isDue) await pace.turn()
    }
    return outcomes
  }

  #renameOne({ path, receipt }: Staged): FileOutcome {
    const here = this.#here(receipt.path)
    try {
      renameSync(path, here)
      return receipt
    } catch (error) {
      return asRemexError(localError(error, 'replace', here))
    }
  }

  #alone(file: FileStep): Promise<FileOutcome> {
    return this.moveOne(file).catch((error: unknown) => asRemexError(error))
  }
}

/** How a {@link StagingPlace} is made here. */
export const localStaging: StagingEnd = {
  make: (directory) => named('make the directory', directory, (path) => mkdir(path, 0o700)),
  removeEmpty: (directory) => rmdir(directory),
  removeAll: (directory) => named('remove', directory, (path) => rm(path, { recursive: true, force: true })),
}

async function hashOf(path: Buffer): Promise<string | undefined> {
  try {
    const source = await openSource({ localPath: path, follow: false })
    return await source.sha256().finally(() => source.close())
  } catch {
    return undefined
  }
}

/**
 * Puts a batch of new files on disk: by one call for their file system, which takes a fraction of what one call for each
 * takes, and which Node does not have; else each by itself.
 */
async function syncFileSystem(directory: Buffer, files: readonly Buffer[]): Promise<void> {
  if (files.length > 1 && (await succeeds('sync', ['-f', directory.toString()]))) return
  for (const path of files) {
    await named('put on disk', path, async () => {
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
      await file.sync().finally(() => file.close())
    })
  }
}

function succeeds(program: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: 'ignore' })
    child.once('error', () => resolve(false)).once('close', (status) => resolve(status === 0))
  })
}

async function named<T>(action: string, path: Buffer, work: (path: Buffer) => Promise<T>): Promise<T> {
  try {
    return await work(path)
  } catch (error) {
    throw localError(error, action, path)
  }
}
