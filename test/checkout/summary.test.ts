import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const repository = dirname(dirname(import.meta.dirname))
let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'remex-summary-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('the last line of ./remex test', () => {
  const passing = { status: 'passed', assertionResults: [{}] }
  const unloaded = { status: 'failed', assertionResults: [] }
  const none = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [passing] }

  it.each([
    ['counts what passed', { ...none, numPassedTests: 7 }, 0, '7 passed, 0 failed'],
    ['counts what failed', { ...none, numPassedTests: 7, numFailedTests: 2 }, 1, '7 passed, 2 failed'],
    ['counts what was skipped or is still to be written', { ...none, numPassedTests: 7, numPendingTests: 2, numTodoTests: 1 }, 0, '7 passed, 0 failed, 3 skipped'],
    ['counts a file that could not be loaded as a failure', { ...none, numPassedTests: 7, testResults: [passing, unloaded] }, 1, '7 passed, 1 failed'],
    ['counts an error outside of every test as a failure', { ...none, numPassedTests: 7 }, 1, '7 passed, 1 failed'],
    ['counts a run without a report as a failure', undefined, null, '0 passed, 1 failed'],
  ])('%s', async (_what, report, status, line) => {
    const reportFile = join(directory, 'report.json')
    if (report) writeFileSync(reportFile, JSON.stringify(report))
    const { tally } = (await import(join(repository, 'scripts/tally.mjs'))) as { tally: (file: string, status: number | null) => unknown }
    expect(tally(reportFile, status)).toMatchObject({ line })
  })
})

describe('.ci/run', () => {
  it.each([
    ['passes when tests and checks pass', 'echo noise; echo "7 passed, 0 failed"', 'exit 0', '8 passed, 0 failed', 0],
    ['hands on what was skipped', 'echo "7 passed, 0 failed, 3 skipped"', 'exit 0', '8 passed, 0 failed, 3 skipped', 0],
    ['fails when a test failed', 'echo "6 passed, 1 failed"; exit 1', 'exit 0', '7 passed, 1 failed', 1],
    ['fails when a check failed', 'echo "7 passed, 0 failed"', 'exit 2', '7 passed, 1 failed', 1],
    ['fails when both failed', 'echo "6 passed, 1 failed"; exit 1', 'exit 2', '6 passed, 2 failed', 1],
    ['fails when the tests did not even start', 'echo "no node" >&2; exit 125', 'exit 0', '1 passed, 1 failed', 1],
    ['fails when the tests ended in good order without a summary', 'true', 'exit 0', '1 passed, 1 failed', 1],
    ['fails when the tests count no failure and say there was one', 'echo "7 passed, 0 failed"; exit 1', 'exit 0', '8 passed, 1 failed', 1],
  ])('%s', (_what, tests, checks, line, status) => {
    cpSync(join(repository, '.ci/run'), join(directory, '.ci/run'))
    writeFileSync(join(directory, 'remex'), `#!/bin/sh\n[ "$1 $CI" = "test true" ] || exit 9\n${tests}\n`, { mode: 0o755 })
    mkdirSync(join(directory, 'bin'))
    writeFileSync(join(directory, 'bin/npm'), `#!/bin/sh\n[ "$*" = "run --silent check" ] || exit 9\n${checks}\n`, { mode: 0o755 })
    const env = { PATH: `${join(directory, 'bin')}:${process.env.PATH ?? ''}` }
    const run = spawnSync(join(directory, '.ci/run'), { cwd: '/', env, encoding: 'utf8' })
    expect({ line: run.stdout.trimEnd().split('\n').at(-1), status: run.status }).toEqual({ line, status })
  })
})
