import { asRemexError, RemexError, type ErrorCode } from '../../core/errors.ts'
import { eachOf } from './each-of.ts'
import type { FileOutcome, FileStep } from './tree-sink.ts'

/** Files that go each by itself where there are no batches. */
export const ALONE_AT_ONCE = 8

/** Moves each file by itself, `limit` at once; one outcome for each, in their order. */
export async function outcomesOf(files: readonly FileStep[], limit: number, move: (file: FileStep) => Promise<FileOutcome>): Promise<FileOutcome[]> {
  const outcomes: FileOutcome[] = []
  await eachOf([...files.entries()], limit, async ([index, file]) => {
    outcomes[index] = await move(file).catch((error: unknown) => asRemexError(error))
  })
  return outcomes
}

/** What may be wrong with files that go together and right with each by itself. */
const OF_THE_BATCH: readonly ErrorCode[] = ['TRANSFER_FAILED', 'CHECKSUM_MISMATCH', 'CHECKSUM_UNAVAILABLE', 'PERMISSION_DENIED', 'CHANNEL_REFUSED']

/** Moves files together, and each by itself where that fails of something that is not theirs. Rejects with what stops everything. */
export async function togetherOrAlone(files: readonly FileStep[], together: () => Promise<readonly FileOutcome[]>, alone: (file: FileStep) => Promise<FileOutcome>): Promise<readonly FileOutcome[]> {
  try {
    return await together()
  } catch (error) {
    if (!(error instanceof RemexError) || !OF_THE_BATCH.includes(error.code)) throw error
    return outcomesOf(files, ALONE_AT_ONCE, alone)
  }
}
