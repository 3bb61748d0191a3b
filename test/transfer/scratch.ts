import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A new directory, removed when the test has finished. */
export async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'remex-transfer-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Names of temporary files that lie in `directory`. */
export async function leftovers(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.includes('.remex-'))
}
