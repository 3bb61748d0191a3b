import type { Readable } from 'node:stream'
import type { Channel } from '../transport/contract.ts'

/** What a command on the host left behind. */
export interface CommandOutput {
  /** Null when it did not exit by itself. */
  readonly exitCode: number | null
  readonly stdout: Buffer
  readonly stderr: Buffer
}

/** What a command gets, and who listens. */
export interface CommandOptions {
  readonly signal?: AbortSignal | undefined
  /** Standard input. Default: closed. */
  readonly stdin?: Buffer | Readable | undefined
  /**
   * Gets every byte as it arrives; a promise that it returns holds the output back. What {@link CommandOutput} holds is
   * cut after 64 KiB of each stream.
   */
  readonly onOutput?: ((stream: 'stdout' | 'stderr', chunk: Buffer) => void | Promise<void>) | undefined
}

/**
 * All that a transfer needs from a host. Both calls reject with the signal's reason once it aborts,
 * and with `CONNECTION_LOST`, `CHANNEL_REFUSED` and the like where there is no connection.
 */
export interface TransferAccess {
  /** The host's id (`vm01`). */
  readonly vmId: string
  /** Opens a channel with the `sftp` subsystem on it. The transfer closes it. */
  sftp(signal?: AbortSignal): Promise<Channel>
  /** Runs shell text under the host's /bin/sh, or an argument vector. An abort ends all that it started. */
  run(command: readonly string[] | string, options?: CommandOptions): Promise<CommandOutput>
}
