import { hash } from 'node:crypto'
import { ByteQueue } from './byte-queue.ts'

/** A file that came whole. */
export interface Fetched {
  /** May share its memory with other files of the batch. */
  readonly content: Buffer
  /** Hexadecimal; the host and this side agree on it. */
  readonly sha256: string
}

/** A file that was asked for. */
export interface Awaited {
  /** As the host's tools were given it. */
  readonly name: Buffer
  readonly sizeBytes: number
}

/** How the answer is made, and who watches. */
export interface BatchForm {
  /** Whether the host tells the size of each file. Else a file of another size spoils what comes after it. */
  readonly hasSizes: boolean
  /** Whether the contents follow the digests. Else only {@link BatchReader.digests} are of use. */
  readonly hasContents: boolean
  readonly onReceived?: ((sizeBytes: number) => void) | undefined
}

/** A file of which the host says that it can be read. */
interface Readable extends Awaited {
  readonly index: number
}

/** Waits for more bytes whenever it yields. */
type Step<T> = Generator<undefined, T>

const DIGEST_CHARS = 64
const MOST_LINE_BYTES = 64 * 1024
/** For what start-up files print. */
const MOST_NOISE_BYTES = 64 * 1024
/** What files may have grown by, together, before the batch is given up. */
const MOST_EXTRA_BYTES = 1024 * 1024

/** Reads the answer to a batch as it arrives. What it holds is bounded by the sizes that are expected. */
export class BatchReader {
  readonly #files: readonly Awaited[]
  readonly #form: BatchForm
  readonly #fetched: (Fetched | null)[]
  readonly #digests: (string | null)[]
  readonly #queue = new ByteQueue()
  readonly #reading: Step<void>
  #extraBytes = 0

  constructor(files: readonly Awaited[], form: BatchForm) {
    this.#files = files
    this.#form = form
    this.#fetched = files.map(() => null)
    this.#digests = files.map(() => null)
    this.#reading = this.#parts()
  }

  /** What came so far, in the order of the files. */
  get fetched(): readonly (Fetched | null)[] {
    return this.#fetched
  }

  /** What the host said that the SHA-256 of each file is, so far. */
  get digests(): readonly (string | null)[] {
    return this.#digests
  }

  /** False once nothing more can be of use: what comes is not understood, or is more than was asked for. */
  take(chunk: Buffer): boolean {
    this.#queue.push(chunk)
    try {
      return this.#reading.next().done !== true
    } catch (error) {
      if (error instanceof Misfit) return false
      throw error
    }
  }

  *#parts(): Step<void> {
    let noiseBytes = MOST_NOISE_BYTES
    for (let from = 0; from < this.#files.length; ) {
      const flags = yield* this.#flags(noiseBytes)
      if (from + flags.length > this.#files.length) throw new Misfit()
      const files = this.#files.slice(from, from + flags.length)
      yield* this.#part(files.flatMap((file, at) => (flags[at] === '1' ? [{ ...file, index: from + at }] : [])))
      from += flags.length
      noiseBytes = 0
    }
    // Only the end of the command is still to come.
    while (this.#queue.sizeBytes === 0) yield
  }

  /** The first line of a part, before which other lines may come. */
  *#flags(noiseBytes: number): Step<string> {
    for (let left = noiseBytes; left >= 0; ) {
      const line = yield* this.#line()
      const [, flags] = /remex-batch ([01]+)$/.exec(line) ?? []
      if (flags !== undefined) return flags
      left -= line.length + 1
    }
    throw new Misfit()
  }

  *#part(files: readonly Readable[]): Step<void> {
    const sizes: number[] = []
    for (const { sizeBytes } of files) sizes.push(this.#form.hasSizes ? yield* this.#size() : sizeBytes)
    for (const { name, index } of files) this.#digests[index] = yield* this.#digest(name)
    if (!this.#form.hasContents) return
    for (const [at, file] of files.entries()) {
      const saidBytes = sizes[at] ?? 0
      if (saidBytes === file.sizeBytes) this.#accept(file.index, yield* this.#bytes(saidBytes))
      else yield* this.#skip(saidBytes, file)
    }
  }

  #accept(index: number, content: Buffer): void {
    const sha256 = hash('sha256', content)
    if (sha256 !== this.#digests[index]) return
    this.#fetched[index] = { content, sha256 }
    this.#form.onReceived?.(content.length)
  }

  /** Passes the content of a file that is not what it was. */
  *#skip(saidBytes: number, { sizeBytes }: Awaited): Step<void> {
    this.#extraBytes += Math.max(0, saidBytes - sizeBytes)
    if (this.#extraBytes > MOST_EXTRA_BYTES) throw new Misfit()
    for (let left = saidBytes; left > 0; ) {
      left -= this.#queue.skip(left)
      if (left > 0) yield
    }
  }

  *#size(): Step<number> {
    const line = yield* this.#line()
    if (!/^\d{1,15}$/.test(line)) throw new Misfit()
    return Number(line)
  }

  /** A line of a checksum tool. A line feed in a name is printed as it is by some; others escape it, and begin the line with `\`. */
  *#digest(name: Buffer): Step<string> {
    const start = yield* this.#text(DIGEST_CHARS + 2)
    const [, isEscaped, digest, separator] = /^(\\?)([0-9a-f]{64}) ([ *.]?)$/.exec(start) ?? []
    if (digest === undefined) throw new Misfit()
    if (isEscaped !== '') yield* this.#line()
    else {
      // After one space alone, as BSD prints it, the name has begun.
      const rest = name.toString('latin1', separator === '.' ? 1 : 0) + '\n'
      if (rest !== (yield* this.#text(rest.length))) throw new Misfit()
    }
    return digest
  }

  *#line(): Step<string> {
    for (;;) {
      const line = this.#queue.takeLine()
      if (line !== undefined) return line
      if (this.#queue.sizeBytes > MOST_LINE_BYTES) throw new Misfit()
      yield
    }
  }

  *#text(count: number): Step<string> {
    for (;;) {
      const text = this.#queue.takeText(count)
      if (text !== undefined) return text
      yield
    }
  }

  *#bytes(count: number): Step<Buffer> {
    for (;;) {
      const bytes = this.#queue.take(count)
      if (bytes !== undefined) return bytes
      yield
    }
  }
}

/** The answer is not what was asked for. */
class Misfit extends Error {}
