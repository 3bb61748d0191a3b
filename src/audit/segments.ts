import { readdir, stat, type FileHandle } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { errorCode } from '../core/atomic-file.ts'
import { auditFiles, firstSeqOf, openLog, unreadable } from './files.ts'

/** One file of a log. */
export interface Segment {
  /** Its name, `audit.jsonl` or `audit-….jsonl`. */
  readonly name: string
  readonly path: string
  /** Number of its first record, by its name; undefined for `audit.jsonl`. */
  readonly firstSeq: number | undefined
}

/**
 * The files of the log in `directory` as they were at one moment. Writers may be at work and may turn to a new file at any
 * time: what is `audit.jsonl` at first is opened then, and stays the same file whatever it is called later. Dispose of it.
 */
export class Segments implements AsyncDisposable {
  /** In the order of the chain, oldest first. */
  readonly list: readonly Segment[]
  readonly #current: FileHandle | undefined
  #opened: FileHandle | undefined

  private constructor(rotated: readonly Segment[], current: { readonly segment: Segment; readonly file: FileHandle } | undefined) {
    this.list = current ? [...rotated, current.segment] : rotated
    this.#current = current?.file
  }

  /** Looks which there are; none where there is no log. Throws `AUDIT_UNAVAILABLE` for what cannot be read. */
  static async of(directory: string): Promise<Segments> {
    const { log: path } = auditFiles(directory)
    const file = await openLog(path)
    try {
      const rotated = await rotatedSegments(directory)
      if (!file || !(await hasFile(rotated, (await file.stat()).ino))) {
        return new Segments(rotated, file && { segment: { name: basename(path), path, firstSeq: undefined }, file })
      }
      // It became one of the others after it was opened.
      await file.close()
      return new Segments(rotated, undefined)
    } catch (error) {
      await file?.close().catch(() => undefined)
      throw error
    }
  }

  /** One of them for reading, until the next is opened; undefined where it is gone meanwhile, as retention removes what is old. */
  async open(segment: Segment): Promise<FileHandle | undefined> {
    if (segment.firstSeq === undefined) return this.#current
    await this.#opened?.close()
    this.#opened = undefined
    this.#opened = await openLog(segment.path)
    return this.#opened
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened?.close()
    await this.#current?.close()
  }
}

/** The files of `directory` that another has taken the place of, oldest first. Throws `AUDIT_UNAVAILABLE`. */
export async function rotatedSegments(directory: string): Promise<readonly Segment[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return []
    throw unreadable(directory, error)
  })
  return names
    .flatMap((name) => {
      const firstSeq = firstSeqOf(name)
      return firstSeq === undefined ? [] : [{ name, path: join(directory, name), firstSeq }]
    })
    .toSorted((a, b) => a.firstSeq - b.firstSeq)
}

async function hasFile(segments: readonly Segment[], inode: number): Promise<boolean> {
  const inodes = await Promise.all(segments.map(({ path }) => stat(path).then(({ ino }) => ino, () => undefined)))
  return inodes.includes(inode)
}
