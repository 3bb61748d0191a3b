import { isUtf8 } from 'node:buffer'
import type { RemexError } from './errors.ts'

/** A file of a tree that was moved. */
export interface MovedFile {
  /** Relative to the tree, its bytes: names need not be text. */
  readonly path: Buffer
  readonly sizeBytes: number
  /** Hexadecimal. */
  readonly sha256: string
  /** Permission bits of what was written; null where the host does not tell. */
  readonly mode: number | null
  /** Whether both ends were compared by SHA-256. */
  readonly verified: boolean
}

/** What became of a tree besides its totals. */
export interface TreeFacts {
  /** Each file that was moved, in the order of the paths' bytes. Made anew at each iteration: there may be very many. */
  readonly files: Iterable<MovedFile> & { readonly size: number }
  /** Files and links that were the same already. */
  readonly unchanged: number
  /** Directories and links that were made. */
  readonly directories: number
  readonly links: number
  readonly deleted: number
  /** Devices, pipes and sockets, which are never moved. */
  readonly skipped: number
  /** What failed by itself while the rest went on, and the first hundred of these. */
  readonly failed: number
  readonly failures: readonly { readonly path: string; readonly error: RemexError }[]
}

/** What a {@link TransferResult} is made of. */
export interface TransferFacts {
  readonly vmId: string
  readonly operation: 'upload' | 'download'
  /** Path here, as given. */
  readonly local: string
  /** Path on the host, as given. */
  readonly remote: string
  /** Null when it failed; the same for the next three. Of a tree: of all files that were moved, also when it failed. */
  readonly sizeBytes: number | null
  /** Hexadecimal. Of a tree: of its manifest, the lines `<sha256>  <path>` of all files that were moved. */
  readonly sha256: string | null
  /** Whether both ends were compared by SHA-256. */
  readonly verified: boolean
  /** Permission bits of what was written; null for a tree. */
  readonly mode: number | null
  /** What an earlier transfer had left and was not moved again; the whole size where the file was the same already. */
  readonly resumedFromBytes: number
  /** Null for a file. */
  readonly tree: TreeFacts | null
  /** Seconds from the call to the end. */
  readonly executionTime: number
  /** When it ended, ISO 8601 in UTC with milliseconds. */
  readonly timestamp: string
  readonly attempts: number
  readonly engine: string | null
  /** `SHA256:` fingerprint of the host's key; null when there was no connection. */
  readonly hostKey: string | null
  readonly error: RemexError | null
}

/** The receipt of a transfer, or why there is none. Serialises to the `--json` form. */
export class TransferResult implements TransferFacts {
  declare readonly vmId: string
  declare readonly operation: 'upload' | 'download'
  declare readonly local: string
  declare readonly remote: string
  declare readonly sizeBytes: number | null
  declare readonly sha256: string | null
  declare readonly verified: boolean
  declare readonly mode: number | null
  declare readonly resumedFromBytes: number
  declare readonly tree: TreeFacts | null
  declare readonly executionTime: number
  declare readonly timestamp: string
  declare readonly attempts: number
  declare readonly engine: string | null
  declare readonly hostKey: string | null
  declare readonly error: RemexError | null

  constructor(facts: TransferFacts) {
    Object.assign(this, facts)
  }

  get success(): boolean {
    return this.error === null
  }

  /** The object of `--json`; field names are stable. */
  toJSON(): Record<string, unknown> {
    return { ...this.#totals(), ...(this.tree ? { files: Array.from(this.tree.files, fileJson) } : {}) }
  }

  /** The text of {@link toJSON} in pieces, for a tree whose files had better not be held all at once. */
  *jsonText(): Generator<string, void> {
    const totals = JSON.stringify(this.#totals())
    if (!this.tree) {
      yield totals
      return
    }
    yield `${totals.slice(0, -1)},"files":[`
    let separator = ''
    for (const file of this.tree.files) {
      yield `${separator}${JSON.stringify(fileJson(file))}`
      separator = ','
    }
    yield ']}'
  }

  #totals(): Record<string, unknown> {
    return {
      vm_id: this.vmId,
      operation: this.operation,
      local: this.local,
      remote: this.remote,
      size_bytes: this.sizeBytes,
      sha256: this.sha256,
      verified: this.verified,
      mode: octal(this.mode),
      resumed_from_bytes: this.resumedFromBytes,
      success: this.success,
      execution_time: this.executionTime,
      timestamp: this.timestamp,
      attempts: this.attempts,
      engine: this.engine,
      host_key: this.hostKey,
      error: this.error,
      ...(this.tree ? treeJson(this.tree) : {}),
    }
  }
}

function treeJson({ failures, unchanged, directories, links, deleted, skipped, failed }: TreeFacts): Record<string, unknown> {
  const told = failures.map(({ path, error: { code, message } }) => ({ path, code, message }))
  return { unchanged, directories, links, deleted, skipped, failed, failures: told }
}

function fileJson({ path, sizeBytes, sha256, mode, verified }: MovedFile): Record<string, unknown> {
  const bytes = isUtf8(path) ? {} : { path_base64: path.toString('base64') }
  return { path: path.toString(), ...bytes, size_bytes: sizeBytes, sha256, mode: octal(mode), verified }
}

function octal(mode: number | null): string | null {
  return mode === null ? null : mode.toString(8).padStart(4, '0')
}
