import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { RemexError } from '../../src/core/errors.ts'
import type { RunResult } from '../../src/core/outcome.ts'
import type { GroupScriptOptions } from '../../src/fleet/group.ts'
import * as faults from '../../testkit/fault-servers.ts'
import { fleetOf, type Members } from '../interop/fleet-of.ts'

/** The result of a script on one host, whatever it is. */
async function sent(member: Members[string], options: GroupScriptOptions = {}): Promise<{ result: RunResult; error: RemexError | null }> {
  await using fleet = await fleetOf({ vm01: member }, { settings: { connect_timeout: '5s', keepalive_interval: '1s' } })
  const path = join(fleet.folder, 's.sh')
  await writeFile(path, '#!/bin/sh\necho ran\n')
  for await (const result of fleet.remex.hosts('all').script(path, options)) return { result, error: result.error }
  throw new Error('there is no result')
}

describe('sending a script', () => {
  it.concurrent('to a host that is not reached is tried as often as a command is', async () => {
    await using server = await faults.closesBeforeBanner()
    const { result } = await sent(server, { retries: 2, timeout: '20s' })
    expect(result).toMatchObject({ attempts: 2, ended: 'not_started', error: { code: 'THROTTLED', mayHaveRun: false } })
    expect(server.connections).toBe(2)
  })

  it.concurrent('over a connection that breaks never counts as having run the script, and leaves nothing on the host', async () => {
    const home = await mkdtemp(join(tmpdir(), 'remex-home-'))
    await using server = await faults.dropsAfterExecStarted({ env: { HOME: home, TMPDIR: home } })
    const { result } = await sent(server)
    expect(await readdir(home)).toEqual([])
    await rm(home, { recursive: true })
    expect(result).toMatchObject({ attempts: 1, ended: 'not_started', error: { code: 'CONNECTION_LOST', mayHaveRun: false } })
  })

  it.concurrent('to a host that never answers ends with the deadline of the script', async () => {
    await using server = await faults.neverReplies()
    const { result } = await sent(server, { timeout: '500ms' })
    expect(result).toMatchObject({ ended: 'not_started', error: { code: 'TIMED_OUT', mayHaveRun: false, message: expect.stringMatching(/sending the script.*500ms/) as string } })
    expect(result.executionTime).toBeLessThan(16)
  })

  it.concurrent('is ended by a cancel', async () => {
    await using server = await faults.silentAfterAccept()
    const { result } = await sent(server, { signal: AbortSignal.timeout(200), retries: 3 })
    expect(result).toMatchObject({ ended: 'not_started', error: { code: 'CANCELLED', mayHaveRun: false } })
  })
})

describe('a transfer', () => {
  it.concurrent('that loses its connection while it is checked is tried again, and nothing may have run', async () => {
    await using server = await faults.dropsAfterExecStarted()
    await using fleet = await fleetOf({ vm01: server }, { settings: { connect_timeout: '20s' } })
    const local = join(fleet.folder, 'file')
    await writeFile(local, 'x')
    const results = []
    for await (const result of fleet.remex.hosts('all').put(local, 'file', { retries: 2 })) results.push(result)
    expect(results).toMatchObject([{ attempts: 2, success: false, error: { code: 'CONNECTION_LOST', mayHaveRun: false } }])
    expect(server.connections).toBe(2)
  })
})
