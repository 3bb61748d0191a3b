import { mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KEEP_LIMITS, openAudit } from '../../src/audit/log.ts'
import { formatOwner, ourselves } from '../../src/core/lock-owner.ts'
import { auditChecks } from '../../src/enrol/doctor/audit-checks.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'

const DAY_MS = 86_400_000

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'remex-doctor-audit-'))
})
afterEach(() => rm(directory, { recursive: true }))

describe('the doctor', () => {
  it('is told of a log that is kept beyond its time, for nobody took an anchor', async () => {
    const clock = new FakeClock()
    const log = await openAudit({ directory, clock, limits: { ...KEEP_LIMITS, rotateAgeMs: DAY_MS } })
    await log.note('denied', {})
    await clock.advance(DAY_MS)
    await log.note('denied', {})
    await log.close()
    const [place] = await auditChecks(directory, clock.now() + 93 * DAY_MS, 90)
    expect(place).toMatchObject({ status: 'warning', message: expect.stringContaining('no anchor covers it') as string, hint: expect.stringMatching(/^remex audit anchor/) as string })
    expect((await auditChecks(directory, clock.now() + 90 * DAY_MS, 90))[0]?.message).not.toContain('anchor')
  })

  it.each([
    ['a process that lives has had for a minute', ourselves(), 60, /has held .* for \d\d s/],
    ['a process that lives has had for a moment', ourselves(), 1, /free/],
    ['a process that is gone left', { ...ourselves(), start: '1' }, 60, /free/],
  ] as const)('is told of a lock of the audit log only where it is in the way: one that %s', async (_, owner, heldSeconds, message) => {
    await symlink(formatOwner(owner, 'nonce'), join(directory, 'audit.lock'))
    expect((await auditChecks(directory, Date.now() + heldSeconds * 1000))[0]).toMatchObject({ check: 'audit', message: expect.stringMatching(message) as string })
  })

  it('leaves a long audit log to the command that verifies it', async () => {
    const log = join(directory, 'audit.jsonl')
    await writeFile(log, '')
    await truncate(log, 65 * 1024 * 1024)
    expect((await auditChecks(directory, Date.now()))[1]).toMatchObject({ check: 'audit_chain', status: 'skipped', hint: 'remex audit verify' })
  })
})
