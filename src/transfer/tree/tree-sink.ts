import type { RemexError } from '../../core/errors.ts'
import type { MovedFile } from '../../core/transfer-result.ts'
import type { TransferAccess } from '../access.ts'
import type { HostTools } from '../batch/host-tools.ts'
import type { FileTimes } from '../local-temporary.ts'
import type { MoveOptions } from '../receipt.ts'
import type { SftpClient } from '../sftp/client.ts'
import type { Step } from './entry.ts'
import type { StagingPlace } from './staging.ts'

/** What a sink is made with. */
export interface SinkTree {
  readonly access: TransferAccess
  readonly sftp: SftpClient
  /** Resolves with null where the host has no shell, or too little in it: every file goes by itself. Found when first asked for. */
  readonly tools: () => Promise<HostTools | null>
  /** Of the tree here and there, absolute. */
  readonly localRoot: Buffer
  readonly remoteRoot: Buffer
  /** Inside the tree that is made: for files that do not have their names yet. */
  readonly staging: StagingPlace
  readonly options: MoveOptions
  /** Told of bytes as they arrive. */
  readonly onMoved: (byteCount: number) => void
}

/** Channels of one file: others are under way beside it, and sshd allows ten sessions on a connection. */
export const LANES_OF_A_FILE = 2

/** A file that may have to be moved. */
export type FileStep = Extract<Step, { kind: 'file' }>

/** A directory that is not there yet, of which all files are small and go together. */
export interface NewDirectory {
  readonly path: Buffer
  /** Permission bits of the source. */
  readonly mode: number
}

/** What became of a file: moved, found the same by SHA-256, or why not. */
export type FileOutcome = MovedFile | 'same' | RemexError

/** Permission bits and times that something is to have. */
export interface WantedAttributes {
  readonly mode: number | undefined
  readonly times: FileTimes | undefined
}

/** The end that is made like the other. Paths are relative to its root. All reject with what stood in the way. */
export interface TreeSink {
  /** Makes a directory that its owner can use, with `mode` less the umask. */
  makeDirectory(path: Buffer, mode: number): Promise<void>
  /** Makes or replaces a symbolic link, in one step. */
  makeLink(path: Buffer, points: Buffer): Promise<void>
  /** Removes a file, a link, or an empty directory. */
  remove(path: Buffer, isDirectory: boolean): Promise<void>
  setAttributes(path: Buffer, wanted: WantedAttributes): Promise<void>
  /** Whether files of this size go together with others. */
  isSmall(sizeBytes: number): boolean
  /**
   * Moves small files, and makes the directories that they alone are in; one outcome for each file, in their order. Rejects
   * with what stops the whole tree.
   */
  moveSmall(files: readonly FileStep[], directories: readonly NewDirectory[]): Promise<readonly FileOutcome[]>
  /** Moves one file of any size. */
  moveOne(file: FileStep): Promise<MovedFile | 'same'>
  /** Removes what only the moving needed. Never rejects. */
  cleanUp(): Promise<void>
}
