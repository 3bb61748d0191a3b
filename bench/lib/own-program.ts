import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { build } from 'esbuild'

/** A program of the benchmarks as one file, which processes of its own can run. It is removed when it is disposed of. */
export interface OwnProgram extends AsyncDisposable {
  /** `node` and the file. */
  readonly argv: readonly [string, string]
}

/** Beside the bundle of the benchmarks themselves: packages are found from there. */
const FOLDER = '.remex'

/** Bundles the module at `entry`, a path from the top of the checkout. */
export async function ownProgram(entry: string): Promise<OwnProgram> {
  await mkdir(FOLDER, { recursive: true })
  const own = await mkdtemp(join(FOLDER, 'bench-'))
  const path = resolve(own, `${basename(entry, '.ts')}.mjs`)
  await build({ entryPoints: [entry], outfile: path, bundle: true, platform: 'node', target: 'node20.19', format: 'esm', packages: 'external', logLevel: 'warning' })
  return { argv: [process.execPath, path], [Symbol.asyncDispose]: () => rm(own, { recursive: true }) }
}
