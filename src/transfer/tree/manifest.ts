import { createHash } from 'node:crypto'
import type { MovedFile } from '../../core/transfer-result.ts'

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
    this.#lines.push([path.toString('latin1'), sha256, sizeBytes, mode ?? '', verified ? 1 : ''].join('\0'))
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

function parse(line: string): MovedFile {
  const [path = '', sha256 = '', sizeBytes = '', mode = '', verified = ''] = line.split('\0')
  return { path: Buffer.from(path, 'latin1'), sizeBytes: Number(sizeBytes), sha256, mode: mode === '' ? null : Number(mode), verified: verified !== '' }
}
