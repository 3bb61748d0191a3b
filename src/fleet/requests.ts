import type { Readable } from 'node:stream'
import type { Duration } from '../core/duration.ts'
import type { Secret } from '../core/secret.ts'
import type { OutputListener } from '../session/invocation.ts'
import type { RateLimit } from '../transfer/rate-limit.ts'
import type { FilterRule } from '../transfer/tree/filter.ts'

/** Options of a command. */
export interface RunOptions {
  /**
   * How long the command may run on the host; then its whole process tree is ended. `none`: no limit.
   * Default: `default_timeout`, 30 s. Connecting has a limit of its own, `connect_timeout`.
   */
  readonly timeout?: Duration
  /** Directory on the host to start in; a missing one stops everything. Default: the login's home. */
  readonly cwd?: string
  /** Variables for the command. Values appear in no process list and in no log. Default: none. */
  readonly env?: Readonly<Record<string, string | Secret>>
  /** Standard input. Default: closed. */
  readonly stdin?: string | Uint8Array | Readable
  /** Run it by `sudo -n`: true is root, a text is that user. Never asks for a password. Default: the host's `sudo`. */
  readonly sudo?: boolean | string
  /** Run it on a terminal of its own; both streams are then one. Default: false. */
  readonly pty?: boolean
  /** How often to try, where a repeat cannot run anything twice. Default: `default_retry`, 3. */
  readonly retries?: number
  /** Whether running it twice is harmless: it is then repeated after a lost connection too. Default: false. */
  readonly idempotent?: boolean
  /** Capture limit of each stream, in bytes; more is counted. Default: `max_output_bytes`, 10 MiB. */
  readonly maxOutputBytes?: number
  /**
   * Supervised on the host itself, so that the run outlives the connection; a broken one is attached to again. The host
   * keeps its output and its deadline. Default: false.
   */
  readonly durable?: boolean
  /**
   * The id of a durable run: the same id never starts twice, whoever asks. Letters, digits, `.`, `_` and `-`, at most 64,
   * beginning with a letter or digit. Default: a new one.
   */
  readonly runId?: string
  /** Hears what happens to the connection of a durable run, in words. */
  readonly onNotice?: (text: string) => void
  /** Gets every byte as it arrives; a promise that it returns holds the command's output back. */
  readonly onOutput?: OutputListener
  /**
   * Cancels: ends the process tree on the host. The result then has `ended: 'cancelled'`. A durable run is only left: it
   * goes on, and can be attached to again.
   */
  readonly signal?: AbortSignal
}

/** Options of a script. */
export interface ScriptOptions extends RunOptions {
  /** Words given to the script. Default: none. */
  readonly args?: readonly string[]
  /** The program that runs it, as shell words (`python3 -u`). Default: the script's first line decides. */
  readonly interpreter?: string
  /** The path names a script that is on the host already: nothing is sent or removed. Default: false. */
  readonly remote?: boolean
  /** Leave the script on the host. Default: false, it is removed. */
  readonly keep?: boolean
}

/** Options of `put` and `get`. */
export interface TransferOptions {
  /** Permission bits of the result; in a tree those of its files. Default: those of the source. */
  readonly mode?: number
  /** Gives the result the permission bits and times of the source. Default: false; files of a tree get its times even so. */
  readonly preserve?: boolean
  /** Go on where an interrupted transfer of the same file stood, after comparing what is there. Default: false. */
  readonly resume?: boolean
  /** Compare by SHA-256 what may be the same already, and do not move what is. Default: false; trees go by size and time. */
  readonly checksum?: boolean
  /** Bytes per second, for all hosts of a call together. Default: as fast as it goes. */
  readonly limitRate?: number
  /** Limit for the whole transfer, connecting and repeats included. Default: `none`. */
  readonly timeout?: Duration
  /** How often to try. Default: `default_retry`, 3. */
  readonly retries?: number
  /** Do not compare checksums; the receipt says that nothing was verified. Default: false. Files of trees are always compared. */
  readonly insecureSkipVerify?: boolean
  /** Both paths are directories, and the target is made like the source. Default: false. */
  readonly recursive?: boolean
  /** With `recursive`: removes at the target what the source does not have. Default: false. */
  readonly delete?: boolean
  /** With `recursive`: what belongs to the tree; the first rule that matches decides. Default: everything. */
  readonly rules?: readonly FilterRule[]
  /** With `recursive`: compare only, and tell {@link TransferOptions.onChange} what would be done. Default: false. */
  readonly dryRun?: boolean
  /** With `dryRun`: told what would be done. */
  readonly onChange?: (change: TreeChange) => void
  readonly signal?: AbortSignal
  /** Called with the bytes that are through so far; `totalBytes` is undefined where it is not known before, as for trees. */
  readonly onProgress?: (doneBytes: number, totalBytes: number | undefined) => void
}

/** Something that a dry run of a tree would do. */
export interface TreeChange {
  readonly action: 'send' | 'make_directory' | 'link' | 'delete' | 'skip' | 'fail'
  /** Relative to the tree, its bytes; empty for the tree itself. */
  readonly path: Buffer
  /** Of a file that would be sent. */
  readonly sizeBytes: number | undefined
}

/** A command: shell text, or words that the host's shell does not interpret. */
export type Command = string | readonly string[]

/** Run a command. */
export interface RunRequest {
  readonly operation: 'run'
  readonly command: Command
  readonly options: RunOptions
}

/** Run a script: a local one, or with `options.remote` one on the host. */
export interface ScriptRequest {
  readonly operation: 'script'
  readonly path: string
  readonly options: ScriptOptions
}

/** Send or fetch a file. */
export interface TransferRequest {
  readonly operation: 'upload' | 'download'
  readonly local: string
  readonly remote: string
  readonly options: TransferOptions
  /** Shared by all hosts of a call. Default: one of its own, of `limitRate`. */
  readonly limit?: RateLimit | undefined
  /** How many hosts are served at once. Default: 1. */
  readonly beside?: number | undefined
}
