// All tests, on real servers where they are or can be installed: ./remex test [vitest arguments], or npm test.
// Ends with one plain line on stdout: `N passed, N failed`, and `, N skipped` where some were.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv } from 'node:process'
import { inRoot } from './checkout.mjs'
import { asProgram, runNode } from './program.mjs'
import { makeReady } from './ready.mjs'
import { provideServers } from './servers.mjs'

await asProgram(async (signal) => {
  await makeReady(undefined, signal)
  provideServers()
  const directory = mkdtempSync(join(tmpdir(), 'remex-test-'))
  try {
    const status = await vitest(argv.slice(2), join(directory, 'report.json'), signal)
    const counts = count(join(directory, 'report.json'), status)
    console.log(`${counts.passed} passed, ${counts.failed} failed${counts.skipped ? `, ${counts.skipped} skipped` : ''}`)
    process.exitCode = counts.failed > 0 ? 1 : 0
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

/** Resolves with vitest's exit status; null when a signal ended it. */
function vitest(args, reportFile, signal) {
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`]
  return runNode([inRoot('node_modules/vitest/vitest.mjs'), 'run', ...reporters, ...args], signal)
}

/** A file that could not be loaded, or an error outside of every test, counts as one failure: nothing that failed counts as none. */
function count(reportFile, status) {
  const report = read(reportFile)
  const unloaded = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length
  const failed = report.numFailedTests + unloaded
  return {
    passed: report.numPassedTests,
    failed: status === 0 ? failed : Math.max(1, failed),
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

function read(reportFile) {
  try {
    return JSON.parse(readFileSync(reportFile, 'utf8'))
  } catch {
    return { testResults: [], numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 }
  }
}
