import type { TransferAccess } from './access.ts'
import { throwIfAborted } from './abort.ts'
import { SftpClient } from './sftp/client.ts'

/**
 * An SFTP connection to the host, whose operations `signal` aborts. The caller ends it.
 * Rejects as {@link TransferAccess} and {@link SftpClient.open} do.
 */
export async function openSftp(access: TransferAccess, signal: AbortSignal | undefined): Promise<SftpClient> {
  throwIfAborted(signal)
  const channel = await access.sftp(signal).catch((error: unknown) => {
    throwIfAborted(signal)
    throw error
  })
  return SftpClient.open(channel, { vmId: access.vmId, signal })
}
