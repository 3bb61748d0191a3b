import type { PathName } from './path-name.ts'

/** What a transfer returns: which bytes are where, and whether both ends were compared. */
export interface Receipt {
  readonly vmId: string
  readonly direction: 'upload' | 'download'
  /** Path on this side: the source as given, or where the file is now. Bytes that are not UTF-8 show as U+FFFD. */
  readonly local: string
  /** Path on the host: the source as given, or where the file is now, absolute. Bytes that are not UTF-8 show as U+FFFD. */
  readonly remote: string
  readonly sizeBytes: number
  /** SHA-256 of what was sent or received, hexadecimal; equal to the host's where `verified`. */
  readonly sha256: string
  /** True when the host's own SHA-256 of its file was compared and is the same. */
  readonly verified: boolean
  /** Permission bits of what was written; null when the host does not tell. */
  readonly mode: number | null
  readonly resumedFromBytes: number
}

/** What uploads and downloads have in common. */
export interface TransferOptions {
  /** File on the host. */
  readonly remotePath: PathName
  /** Permission bits of the result, 0 to 0o7777. Default: see {@link upload} and {@link download}. */
  readonly mode?: number
  /** Compare the SHA-256 of both ends. Default: true. */
  readonly verify?: boolean
  /** Ends the transfer: it rejects with the signal's reason, after cleaning up. */
  readonly signal?: AbortSignal
  /** Called with the bytes that are through so far; `totalBytes` is undefined where the size is not known before. */
  readonly onProgress?: (doneBytes: number, totalBytes: number | undefined) => void
}

/** Bytes and their SHA-256, counted on this side. */
export interface Content {
  readonly sizeBytes: number
  /** Hexadecimal. */
  readonly sha256: string
}
