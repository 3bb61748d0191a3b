// All tests, on real servers where they are or can be installed: ./remex test [vitest arguments], or npm test.
// Ends with one plain line on stdout: `N passed, N failed`, and `, N skipped` where some were.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv } from 'node:process'
import { inRoot } from './checkout.mjs'
import { asProgram, runNode } from './program.mjs'
import { makeReady } from './ready.mjs'
import { provideServers } from './servers.mjs'
import { tally } from './tally.mjs'

await asProgram(async (signal) => {
  await makeReady(undefined, signal)
  provideServers()
  const directory = mkdtempSync(join(tmpdir(), 'remex-test-'))
  try {
    const status = await vitest(argv.slice(2), join(directory, 'report.json'), signal)
    const { line, failed } = tally(join(directory, 'report.json'), status)
    console.log(line)
    process.exitCode = failed > 0 ? 1 : 0
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

/** Resolves with vitest's exit status; null when a signal ended it. */
function vitest(args, reportFile, signal) {
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`]
  return runNode([inRoot('node_modules/vitest/vitest.mjs'), 'run', ...reporters, ...args], signal)
}
