import type { TransferAccess } from '../access.ts'
import { BatchReader } from './batch-reader.ts'
import type { Fetched } from './batch-reader.ts'
import type { HostTools } from './host-tools.ts'
import { batchName, partsCommand, readParts } from './parts-command.ts'

/** Files that are fetched together. */
export interface GetBatch {
  /** Absolute. */
  readonly root: Buffer
  /** At most `BATCH_FILES`, of `BATCH_BYTES` in all. `path` is relative to `root`. */
  readonly files: readonly { readonly path: Buffer; readonly sizeBytes: number }[]
  readonly signal: AbortSignal | undefined
  /** Told the content of each file, in bytes, as it has arrived and is verified. */
  readonly onReceived?: ((sizeBytes: number) => void) | undefined
}

/**
 * Fetches files by one command, which prints the SHA-256 of each and then their contents; each content is hashed here too.
 * Null for a file of which that did not come whole and right: it has vanished or another size, is no regular file (a symbolic link
 * in its place is not followed, unless it came in the moment between the look and the reading), cannot be read, or came behind
 * something that could not be understood. Such a file is to be fetched by itself, which tells what is wrong with it.
 * Rejects with `CONNECTION_LOST` and with the signal's reason only.
 */
export async function getBatch(access: TransferAccess, tools: HostTools, batch: GetBatch): Promise<readonly (Fetched | null)[]> {
  const expected = batch.files.map(({ path, sizeBytes }) => ({ name: batchName(path), sizeBytes }))
  const { sizes, checksum } = tools
  const reader = new BatchReader(expected, { hasSizes: sizes !== undefined, hasContents: true, onReceived: batch.onReceived })
  if (batch.files.length === 0) return reader.fetched
  const text = partsCommand(batch.root, [...(sizes === undefined ? [] : [sizes]), checksum, 'cat'])
  await readParts(access, text, { reader, names: expected.map(({ name }) => name), signal: batch.signal })
  return reader.fetched
}
