import { createHash, randomBytes, type Hash } from 'node:crypto'
import { once } from 'node:events'
import { constants, createWriteStream, type WriteStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { createGzip, type Gzip } from 'node:zlib'
import { ensurePrivateDir, syncDirectory } from '../core/atomic-file.ts'
import type { Clock } from '../core/clock.ts'
import { BEGUN, OUTPUTS } from './outputs.ts'
import { giveToOwner } from './ownership.ts'

/** Hides what must not be kept, whatever the chunks are. */
export interface OutputMask {
  push(chunk: Buffer): Buffer
  end(): Buffer
}

/** Where the output of a run was put; a stream that wrote nothing has no file. */
export interface RecordedOutput {
  readonly stdout_file?: string
  readonly stderr_file?: string
}

/** Where output is recorded. */
export interface OutputPlace {
  /** That of the log. */
  readonly directory: string
  readonly clock: Clock
  readonly maskOf: () => OutputMask
}

/** Keeps what one run writes, in compressed files that are named by their content. */
export class OutputRecording {
  readonly #place: OutputPlace
  readonly #streams = new Map<'stdout' | 'stderr', StreamRecording>()

  constructor(place: OutputPlace) {
    this.#place = place
  }

  /** Takes what was written. Resolves when more may come, so that a fast command does not fill the memory. Rejects with the system's error. */
  async take(stream: 'stdout' | 'stderr', chunk: Buffer): Promise<void> {
    let recording = this.#streams.get(stream)
    if (!recording) {
      recording = new StreamRecording(this.#place)
      this.#streams.set(stream, recording)
    }
    await recording.take(chunk)
  }

  /** Ends the files and gives them their names; resolves when they are on disk. Rejects with the system's error; then nothing stays. */
  async finish(): Promise<RecordedOutput> {
    const day = new Date(this.#place.clock.now()).toISOString().slice(0, 10)
    const files: { stdout_file?: string; stderr_file?: string } = {}
    try {
      for (const [stream, recording] of this.#streams) files[`${stream}_file`] = await recording.finish(day)
      return files
    } finally {
      await this.discard()
    }
  }

  /** Removes what has no name yet. Safe to repeat. */
  async discard(): Promise<void> {
    for (const recording of this.#streams.values()) await recording.discard()
  }
}

/** One stream on its way into a file. */
class StreamRecording {
  readonly #directory: string
  readonly #mask: OutputMask
  readonly #hash: Hash = createHash('sha256')
  #begun: { readonly path: string; readonly gzip: Gzip; readonly file: WriteStream } | undefined

  constructor({ directory, maskOf }: OutputPlace) {
    this.#directory = directory
    this.#mask = maskOf()
  }

  async take(chunk: Buffer): Promise<void> {
    await this.#write(this.#mask.push(chunk))
  }

  async finish(day: string): Promise<string> {
    await this.#write(this.#mask.end())
    const { path, gzip, file } = await this.#opened()
    gzip.end()
    await finished(file)
    const name = `${OUTPUTS}/${day}/${this.#hash.digest('hex')}.gz`
    const target = join(this.#directory, name)
    await mkdir(join(this.#directory, OUTPUTS, day), { mode: 0o700, recursive: true })
    await rename(path, target)
    await syncDirectory(join(this.#directory, OUTPUTS, day))
    this.#begun = undefined
    await giveToOwner(this.#directory, [OUTPUTS, `${OUTPUTS}/${day}`, name].map((path) => join(this.#directory, path)))
    return name
  }

  async discard(): Promise<void> {
    const begun = this.#begun
    this.#begun = undefined
    begun?.gzip.destroy()
    begun?.file.destroy()
    if (begun) await rm(begun.path, { force: true }).catch(() => undefined)
  }

  async #write(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return
    this.#hash.update(bytes)
    const { gzip, file } = await this.#opened()
    if (file.errored) throw file.errored
    if (!gzip.write(bytes)) await once(gzip, 'drain')
  }

  async #opened(): Promise<{ readonly path: string; readonly gzip: Gzip; readonly file: WriteStream }> {
    if (this.#begun) return this.#begun
    const parent = join(this.#directory, OUTPUTS)
    await ensurePrivateDir(this.#directory)
    await ensurePrivateDir(parent)
    const path = join(parent, `${BEGUN}${randomBytes(8).toString('hex')}`)
    const handle = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    // Flushed when it is closed: a record must not name what a power failure takes.
    const file = createWriteStream('', { fd: handle, flush: true })
    const gzip = createGzip({ level: 1 })
    gzip.pipe(file)
    // Whoever waits for room is told; the next write, or the end, throws it as well.
    file.on('error', (error) => gzip.destroy(error))
    gzip.on('error', () => undefined)
    this.#begun = { path, gzip, file }
    return this.#begun
  }
}
