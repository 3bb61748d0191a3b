import type { TransferAccess } from '../access.ts'
import { BatchReader } from './batch-reader.ts'
import type { HostTools } from './host-tools.ts'
import { batchName, partsCommand, readParts } from './parts-command.ts'

/** Files whose hashes are asked for together. */
export interface HashBatch {
  /** Absolute. */
  readonly root: Buffer
  /** Relative to `root`. */
  readonly paths: readonly Buffer[]
  readonly signal: AbortSignal | undefined
}

/**
 * SHA-256 of each file on the host, hexadecimal, by one command that reads them there. Null where it did not come: for what has vanished,
 * is no regular file (links are not followed) or cannot be read, and for all behind something that could not be understood.
 * Rejects with `CONNECTION_LOST` and with the signal's reason only.
 */
export async function hashBatch(access: TransferAccess, tools: HostTools, batch: HashBatch): Promise<readonly (string | null)[]> {
  const names = batch.paths.map(batchName)
  const reader = new BatchReader(names.map((name) => ({ name, sizeBytes: 0 })), { hasSizes: false, hasContents: false })
  if (names.length > 0) await readParts(access, partsCommand(batch.root, [tools.checksum]), { reader, names, signal: batch.signal })
  return reader.digests
}
