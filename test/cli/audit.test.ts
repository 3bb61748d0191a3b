import { once } from 'node:events'
import { appendFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KEEP_LIMITS, openAudit, type AuditLog } from '../../src/audit/log.ts'
import { systemClock } from '../../src/core/clock.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'
import { until } from '../../testkit/until.ts'
import { BEGIN, FINISH } from '../audit/log-directory.ts'
import { buildCommandLine, ended, Workshop } from './workshop.ts'

const HOSTS = { hosts: { vm01: { ip: '10.0.0.10' } } }

let shop: Workshop

beforeAll(async () => {
  buildCommandLine()
  shop = await Workshop.with([], HOSTS)
  const clock = new FakeClock()
  const log = await openAudit({ directory: shop.path('audit'), clock, limits: { ...KEEP_LIMITS, rotateBytes: 1500, rotateAgeMs: Infinity } })
  const entry = await log.begin(BEGIN)
  await clock.advance(60_000)
  await log.note('denied', { ...BEGIN, user_id: 'mallory', command: 'rm -rf \u001b[2J', status: 'error', error_code: 'POLICY_DENIED', reason: 'no rule allows it' })
  await log.finish(entry, FINISH)
  await log.begin({ ...BEGIN, run_id: 'run-2', vm_id: 'vm02', operation: 'upload', command: undefined, local: 'a', remote: '/b' })
  await log.close()
}, 60_000)

afterAll(async () => {
  await shop[Symbol.asyncDispose]()
})

/** The log of the workshop, for more. */
function openLog(): Promise<AuditLog> {
  return openAudit({ directory: shop.path('audit'), clock: systemClock })
}

/** The columns of the records that are listed: their numbers. */
async function listed(...options: readonly string[]): Promise<unknown[]> {
  const { rows, status } = await shop.call(['audit', 'list', '--json', ...options])
  expect(status).toBe(0)
  return rows.map(({ seq }) => seq)
}

describe('audit list', () => {
  const CASES: [string, string[], number[]][] = [
    ['all, across all files', [], [1, 2, 3, 4, 5]],
    ['those of a user', ['--user', 'mallory'], [2]],
    ['those of a host', ['--host', 'vm02'], [5]],
    ['those of an operation', ['--operation', 'upload'], [5]],
    ['those of a kind', ['--event', 'rotated'], [4]],
    ['those that failed', ['--status', 'error'], [2]],
    ['those of a run', ['--run-id', 'run-2'], [5]],
    ['those with a text', ['--text', 'NO RULE'], [2]],
    ['those of a time', ['--since', '2026-01-31T12:01:00Z', '--until', '2026-01-31T12:02:00Z'], [2, 3, 4, 5]],
    ['those behind a number', ['--since-seq', '3'], [4, 5]],
    ['the newest', ['--limit', '2'], [4, 5]],
  ]
  it.each(CASES)('gives %s', async (_, options, seqs) => {
    expect(await listed(...options)).toEqual(seqs)
  })

  it('shows no control character of a record to a terminal', async () => {
    const { stdout } = await shop.call(['audit', 'list', '--text', 'rm -rf'])
    expect(stdout).toContain(String.raw`rm -rf \x1b[2J`)
  })
})

describe('audit show', () => {
  it('gives every field of a record in its order, and the others of the operation', async () => {
    const { stdout, status } = await shop.call(['audit', 'show', '1'])
    expect(status).toBe(0)
    expect(stdout).toMatch(/^seq {8}1\ntime {7}2026-01-31T12:00:00\.000Z\nevent {6}begin\n/)
    expect(stdout).toMatch(/\nenv_names {2}LANG\n/)
    expect(stdout).toMatch(/\n\nof the same operation:\nSEQ .*\n3 .* finish .* exit 0 .*\n$/)
    expect((await shop.call(['audit', 'show', '3'])).stdout).toMatch(/\nkilled .*"ended":4.*\n[^]*\n\nof the same operation:\nSEQ .*\n1 .* begin .*\n$/)
  })

  it('gives the record itself with --json', async () => {
    const { rows } = await shop.call(['audit', 'show', '5', '--json'])
    expect(rows).toMatchObject([{ seq: 5, event: 'begin', run_id: 'run-2' }])
  })

  it('shows no control character of a record to a terminal', async () => {
    const { stdout } = await shop.call(['audit', 'show', '2'])
    expect(stdout).toMatch(/\ncommand +rm -rf \\x1b\[2J\n/)
    expect(stdout).not.toContain('of the same operation')
  })

  it('says which records there are where this one is not', async () => {
    const { stderr, status } = await shop.call(['audit', 'show', '6'])
    expect(status).toBe(125)
    expect(stderr).toContain('there is no record 6 in the audit log: it has 1 to 5')
    const empty = await Workshop.with([], HOSTS)
    expect((await empty.call(['audit', 'show', '1'])).stderr).toContain('there is no record 1 in the audit log: it is empty')
    await empty[Symbol.asyncDispose]()
  })
})

describe('audit export', () => {
  it('is CSV where nothing else is asked for', async () => {
    const { stdout } = await shop.call(['audit', 'export', '--host', 'vm02'])
    expect(stdout).toMatch(/^seq,time,event,[^\n]*,other\r\n5,"2026-01-31T12:01:00.000Z","begin",[^\n]*\r\n$/)
  })

  it('is the events of OCSF, of this version', async () => {
    const { rows } = await shop.call(['audit', 'export', '--format', 'ocsf'])
    expect(rows.map(({ type_uid: type }) => type)).toEqual([100701, 100701, 100702, 100805])
    expect(rows[0]).toMatchObject({ metadata: { product: { version: expect.stringMatching(/^\d+\.\d+\.\d+/) } } })
  })

  it('is lines of syslog', async () => {
    const { stdout } = await shop.call(['audit', 'export', '--format', 'syslog', '--limit', '1'])
    expect(stdout).toMatch(/^<86>1 2026-01-31T12:01:00.000Z \S+ remex \d+ begin \[remex@32473 seq="5" /)
  })

  it('is empty for a log that is not there', async () => {
    const empty = await Workshop.with([], HOSTS)
    expect(await empty.call(['audit', 'export', '--format', 'syslog'])).toMatchObject({ stdout: '', stderr: '', status: 0 })
    await empty[Symbol.asyncDispose]()
  })

  it('follows what is written until it is interrupted', async () => {
    const child = shop.start(['audit', 'export', '--format', 'syslog', '--follow', '--since-seq', '4'])
    let seen = ''
    child.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await until(() => seen.includes('seq="5"'), { what: 'what is there' })
    const log = await openLog()
    await log.begin({ ...BEGIN, command: 'later' })
    await log.close()
    await until(() => seen.includes('command="later"'), { what: 'what is written later' })
    child.kill('SIGINT')
    const { status, stderr } = await ended(child)
    expect({ status, stderr }).toEqual({ status: 130, stderr: '' })
  })

  it('ends without a word where nobody reads it any more', async () => {
    const child = shop.start(['audit', 'export', '--follow'])
    child.stdout?.once('data', () => child.stdout?.destroy())
    const status = once(child, 'exit')
    let errors = ''
    child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    const log = await openLog()
    while (child.exitCode === null) await log.begin(BEGIN)
    await log.close()
    expect(await status).toEqual([141, null])
    expect(errors).toBe('')
  })

  it('passes over lines that are no records', async () => {
    await appendFile(shop.path('audit', 'audit.jsonl'), 'no record\n{"seq":\n')
    const { stdout, status } = await shop.call(['audit', 'export', '--until', '2026-02-01'])
    expect({ status, lines: stdout.split('\r\n').length }).toEqual({ status: 0, lines: 7 })
  })
})
