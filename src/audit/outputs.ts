import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Directory of recorded output, beside the log; in it one directory for each day (UTC). */
export const OUTPUTS = 'outputs'

/** What recorded output is called in a record: its day, and the SHA-256 of what was kept, before compression. */
export const OUTPUT_FILE = /^outputs\/(\d{4}-\d{2}-\d{2})\/([0-9a-f]{64})\.gz$/

/** The days whose output is older than `beforeMs`, oldest first. */
export async function oldOutputDays(directory: string, beforeMs: number): Promise<readonly string[]> {
  const names = await readdir(join(directory, OUTPUTS)).catch(() => [])
  // A day is old when its last moment is.
  return names.filter((name) => /^\d{4}-\d{2}-\d{2}$/.test(name) && Date.parse(name) + DAY_MS <= beforeMs).toSorted()
}

/** What output is called while it is being written. */
export const BEGUN = '.new-'

/** Output that was begun and not touched since `beforeMs`: who wrote it was killed. */
export async function abandonedOutputs(directory: string, beforeMs: number): Promise<readonly string[]> {
  const names = await readdir(join(directory, OUTPUTS)).catch(() => [])
  const begun = names.filter((name) => name.startsWith(BEGUN))
  const times = await Promise.all(begun.map((name) => stat(join(directory, OUTPUTS, name)).then(({ mtimeMs }) => mtimeMs, () => Infinity)))
  return begun.filter((_, at) => (times[at] ?? Infinity) < beforeMs)
}

const DAY_MS = 86_400_000
