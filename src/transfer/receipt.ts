import type { Partials } from './partials.ts'
import type { PathName } from './path-name.ts'
import type { RateLimit } from './rate-limit.ts'

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
  /** What an earlier transfer had left and was not moved again; the whole size where the file was the same already. */
  readonly resumedFromBytes: number
  /** Whether the target had the content already, so that nothing was moved. */
  readonly isUnchanged: boolean
}

/** What uploads and downloads have in common, whatever they move. */
export interface MoveOptions {
  /** Permission bits of the result, 0 to 0o7777. Default: see {@link upload} and {@link download}. */
  readonly mode?: number | undefined
  /** Gives the result the permission bits and times of the source. Default: false. */
  readonly preserve?: boolean | undefined
  /** Gives the result the times of the source, as `preserve` does. Default: false. */
  readonly keepTimes?: boolean | undefined
  /** Compare the SHA-256 of both ends. Default: true. */
  readonly verify?: boolean | undefined
  /** Go on where an earlier transfer was interrupted, after comparing what is there. Default: false, begin anew. */
  readonly resume?: boolean | undefined
  /** Move nothing where the target has the same content by SHA-256. Default: false. */
  readonly checksum?: boolean | undefined
  /** Default: as fast as it goes. */
  readonly limit?: RateLimit | undefined
  /** How many transfers like this one are under way at once: what they hold in memory is shared among them. Default: 1. */
  readonly beside?: number | undefined
  /** The most channels that one file may use. Default: 6. */
  readonly mostLanes?: number | undefined
  /** Names for what is not finished; without it nothing can be resumed. */
  readonly partials?: Partials | undefined
  /** Ends the transfer: it rejects with the signal's reason, after cleaning up. */
  readonly signal?: AbortSignal | undefined
  /** Called with the bytes that are through so far; `totalBytes` is undefined where the size is not known before. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number | undefined) => void) | undefined
}

/** What uploads and downloads of a file have in common. */
export interface TransferOptions extends MoveOptions {
  /** File on the host. */
  readonly remotePath: PathName
}

/** Bytes and their SHA-256, counted on this side. */
export interface Content {
  readonly sizeBytes: number
  /** Hexadecimal. */
  readonly sha256: string
}

/** Whether the result gets the times of the source. */
export function keepsTimes({ preserve, keepTimes }: MoveOptions): boolean {
  return preserve === true || keepTimes === true
}
