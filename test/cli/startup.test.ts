import { join, relative } from 'node:path'
import { build, type Metafile } from 'esbuild'
import { describe, expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')

describe('what help, the version and a wrong command line load', () => {
  it('has neither the configuration’s parser and schema nor an SSH library in it', async () => {
    const { metafile } = await build({ absWorkingDir: ROOT, entryPoints: ['src/cli/main.ts'], bundle: true, platform: 'node', format: 'esm', metafile: true, write: false, splitting: true, outdir: 'none', packages: 'external', logLevel: 'silent' })
    const commands = Object.keys(metafile.inputs).filter((path) => /^src\/cli\/commands\/[a-z]+\.ts$/.test(path))
    expect(commands.length).toBeGreaterThan(8)
    for (const path of ['src/cli/main.ts', ...commands]) {
      const loaded = staticImports(metafile, path)
      expect({ path, heavy: loaded.filter((name) => /^(zod|yaml|ssh2)|^src\/(remex|config\/(load|schema)|transport|session)/.test(name)) }).toEqual({ path, heavy: [] })
    }
  })
})

/** All that is loaded as soon as the module at `path` is. */
function staticImports({ inputs }: Metafile, path: string): string[] {
  const seen = new Set<string>()
  const follow = (name: string): void => {
    if (seen.has(name)) return
    seen.add(name)
    for (const { path: next, kind } of inputs[name]?.imports ?? []) if (kind !== 'dynamic-import') follow(relative(ROOT, join(ROOT, next)))
  }
  follow(path)
  return [...seen]
}
