import { readdir } from 'node:fs/promises'
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

const DAY_MS = 86_400_000
