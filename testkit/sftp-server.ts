import type { Duplex } from 'node:stream'

/** Where and for how long SFTP is served. */
export interface SftpOptions {
  readonly root: string
  readonly gone: Promise<void>
}

/** Placeholder until the server is written. */
export async function serveSftp(channel: Duplex, options: SftpOptions): Promise<void> {
  channel.end()
  await options.gone
}
