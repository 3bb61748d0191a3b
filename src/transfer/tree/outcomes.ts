import { asRemexError } from '../../core/errors.ts'
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
