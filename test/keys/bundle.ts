import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

/** A program that plain Node runs, in a directory of its own that everyone may read. */
export interface Bundle {
  readonly path: string
  remove(): Promise<void>
}

/** Bundles TypeScript `source`, whose imports are relative to this directory, for a child process: Node 20 cannot run it itself. */
export async function bundle(source: string): Promise<Bundle> {
  const directory = await mkdtemp(join(tmpdir(), 'remex-bundle-'))
  // A child process may be another user.
  await chmod(directory, 0o755)
  const path = join(directory, 'program.mjs')
  const stdin = { contents: source, resolveDir: import.meta.dirname, loader: 'ts' } as const
  await build({ stdin, bundle: true, platform: 'node', format: 'esm', target: 'node20.19', outfile: path, logLevel: 'silent' })
  return { path, remove: () => rm(directory, { recursive: true, force: true }) }
}
