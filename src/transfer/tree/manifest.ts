import { createHash } from 'node:crypto'
import type { MovedFile } from '../../core/transfer-result.ts'

const HASH_BYTES = 32

/**
 * The receipts of a tree. Kept as text, because a tree may have hundreds of thousands of files, one string costs a fifth of
 * an object, and they sort by path as they are.
 */
export class Manifest {
  readonly #lines: string[] = []
  #sizeBytes = 0
  #isSorted = true

  /** How many files. */
  get size(): number {
    return this.#lines.length
  }

  /** Bytes of all files. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  add({ path, sizeBytes, sha256, mode, verified }: MovedFile): void {
    const rest = [`${Buffer.from(sha256, 'hex').toString('latin1')}${sizeBytes}`, mode ?? '', verified ? 1 : '']
    // Joined, because V8 keeps what is added up as a tree of its parts.
    this.#lines.push([path.toString('latin1'), ...rest].join('\0'))
    this.#sizeBytes += sizeBytes
    this.#isSorted = false
  }

  /**
   * SHA-256 over the lines `<sha256>  <path>\n` in the order of the paths' bytes: what
   * `find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum` says of the files alone, where no name
   * has a newline or a backslash.
   */
  sha256(): string {
    const hash = createHash('sha256')
    for (const { path, sha256 } of this) hash.update(`${sha256}  `).update(path).update('\n')
    return hash.digest('hex')
  }

  /** In the order of the paths' bytes. */
  *[Symbol.iterator](): Generator<MovedFile, void> {
    if (!this.#isSorted) this.#lines.sort()
    this.#isSorted = true
    for (const line of this.#lines) yield parse(line)
  }
}

/** Path, NUL, the 32 bytes of the hash, size, NUL, mode, NUL, whether it was verified; one character a byte. */
function parse(line: string): MovedFile {
  const hashAt = line.indexOf('\0') + 1
  const restAt = hashAt + HASH_BYTES
  const [sizeBytes = '', mode = '', verified = ''] = line.slice(restAt).split('\0')
  return {
    path: Buffer.from(line.slice(0, hashAt - 1), 'latin1'),
    sizeBytes: Number(sizeBytes),
    sha256: Buffer.from(line.slice(hashAt, restAt), 'latin1').toString('hex'),
    mode: mode === '' ? null : Number(mode),
    verified: verified !== '',
  }
}
