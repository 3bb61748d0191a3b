// ./remex bench [arguments]: bundles bench/main.ts, which Node 20 cannot run as it is, and runs it.
import { argv } from 'node:process'
import { inRoot } from './checkout.mjs'
import { asProgram, runNode } from './program.mjs'
import { makeReady } from './ready.mjs'

await asProgram(async (signal) => {
  await makeReady(undefined, signal)
  const { build } = await import('esbuild')
  const outfile = inRoot('.remex/bench.mjs')
  await build({
    entryPoints: [inRoot('bench/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
  })
  process.exitCode = (await runNode([outfile, ...argv.slice(2)], signal)) ?? 1
})
