import { beforeAll, describe, expect, it } from 'vitest'
import { proveCuts } from '../../bench/cuts.ts'
import { findProgram } from '../../testkit/daemon.ts'
import { buildCommandLine } from '../cli/workshop.ts'

const missing = findProgram('sshd') === undefined ? ' (skipped: sshd is not installed)' : ''

describe.skipIf(missing)(`transfers that are interrupted${missing}`, () => {
  // Killed clients are whole processes.
  beforeAll(buildCommandLine, 60_000)

  it('end with the right file when they are repeated, whether connection, client or server was ended', async () => {
    const done: number[] = []
    const proof = await proveCuts({ transfers: 8, seed: 11 }, (count) => done.push(count))
    expect(proof).toMatchObject({ transfers: { up: 4, down: 4 }, wrong: [], leftBehind: [] })
    for (const felt of Object.values(proof.felt)) expect(felt).toBeGreaterThanOrEqual(2)
    expect(proof.looks).toBeGreaterThan(8)
    expect(done.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  }, 60_000)

  it('are given up when we are to end', async () => {
    const interrupted = Promise.reject(new Error('ended by SIGINT'))
    interrupted.catch(() => undefined)
    await expect(proveCuts({ transfers: 100, seed: 1, interrupted })).rejects.toThrow('ended by SIGINT')
  }, 60_000)
})
