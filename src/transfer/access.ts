import type { Channel } from '../transport/contract.ts'

/** What a command on the host left behind. */
export interface CommandOutput {
  /** Null when it did not exit by itself. */
  readonly exitCode: number | null
  readonly stdout: Buffer
  readonly stderr: Buffer
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
  /** Runs shell text under the host's /bin/sh, or an argument vector, with standard input closed. */
  run(command: readonly string[] | string, options?: { readonly signal?: AbortSignal }): Promise<CommandOutput>
}
