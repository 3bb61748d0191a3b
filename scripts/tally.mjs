import { readFileSync } from 'node:fs'

/**
 * The one line that sums up a run of vitest, from its JSON report and its exit status (null: ended by a signal), and the number
 * of failures. A file that could not be loaded, an error outside of every test, a missing report and a run in which no test passed each count as a failure:
 * nothing that failed counts as none.
 */
export function tally(reportFile, status) {
  const report = read(reportFile)
  const unloaded = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length
  const skipped = report.numPendingTests + report.numTodoTests
  const isGood = status === 0 && report.numPassedTests > 0
  const failed = Math.max(report.numFailedTests + unloaded, isGood ? 0 : 1)
  return { line: `${report.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`, failed }
}

function read(reportFile) {
  try {
    return JSON.parse(readFileSync(reportFile, 'utf8'))
  } catch {
    return { testResults: [], numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 }
  }
}
