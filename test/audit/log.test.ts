import { createHash } from 'node:crypto'
import { appendFile, chmod, chown, mkdir, readdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Appender } from '../../src/audit/append/appender.ts'
import { openAudit } from '../../src/audit/log.ts'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Secret } from '../../src/core/secret.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'
import { BEGIN, FINISH, logDirectory, type LogDirectory } from './log-directory.ts'

let place: LogDirectory

beforeEach(async () => {
  place = await logDirectory()
})
afterEach(() => place.remove())

const torn = async (): Promise<string[]> => (await readdir(place.directory)).filter((name) => name.includes('torn'))

describe('an audit log', () => {
  it('touches nothing when it is opened', async () => {
    const log = await place.open()
    await log.close()
    await expect(stat(place.directory)).rejects.toThrow('ENOENT')
  })

  it('has the begin in the file when begin resolves, before anything else can happen', async () => {
    const log = await place.open()
    const entry = await log.begin(BEGIN)
    expect(await place.records()).toMatchObject([
      { seq: 1, event: 'begin', op_id: entry.opId, ...BEGIN, os_user: userInfo().username, pid: process.pid, prev: '0'.repeat(64) },
    ])
    expect(entry.seq).toBe(1)
    await log.close()
  })

  it('says on finish how it ended, and again what was begun', async () => {
    const log = await place.open()
    const entry = await log.begin(BEGIN)
    await log.finish(entry, FINISH)
    const [begun, finished] = await place.records()
    expect(finished).toMatchObject({ seq: 2, event: 'finish', op_id: entry.opId, ...BEGIN, ...FINISH, prev: begun?.hash })
    await log.close()
  })

  it('keeps the length and hash of a command that was cut on begin, in the finish too', async () => {
    const log = await place.open()
    await log.finish(await log.begin({ ...BEGIN, command: 'x'.repeat(20_000) }), FINISH)
    const [begun, finished] = await place.records()
    expect(begun).toMatchObject({ command_bytes: 20_000 })
    expect(finished).toMatchObject({ command: begun?.command, command_bytes: 20_000, command_sha256: begun?.command_sha256 })
    await log.close()
  })

  it('hides what its patterns match, and secrets in their forms, in all that users write', async () => {
    const log = await openAudit({ directory: place.directory, clock: systemClock, patterns: [/token=(\S+)/] })
    const secrets = [new Secret('hunter2')]
    await log.finish(await log.begin({ ...BEGIN, command: 'curl token=abc -H "Basic dXNlcjpodW50ZXIy"', secrets }), FINISH)
    await log.note('denied', { local: 'token=abc', remote: '/hunter2', reason: 'not token=abc', secrets })
    const [begun, finished, denied] = await place.records()
    expect(begun?.command).toBe('curl token=[secret] -H "Basic dXNlcj[secret]"')
    expect(finished?.command).toBe(begun?.command)
    expect(denied).toMatchObject({ local: 'token=[secret]', remote: '/[secret]', reason: 'not token=[secret]' })
    await log.close()
  })

  it('takes the time from its clock, and a clock that jumps back does not break the chain', async () => {
    const clock = new FakeClock()
    const log = await openAudit({ directory: place.directory, clock })
    await log.note('denied', { reason: 'first' })
    const jumped = await openAudit({ directory: place.directory, clock: { ...systemClock, now: () => 0 } })
    await jumped.note('denied', { reason: 'second' })
    expect((await place.records()).map((record) => record.time)).toEqual(['2026-01-31T12:00:00.000Z', '1970-01-01T00:00:00.000Z'])
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 2 })
    await Promise.all([log.close(), jumped.close()])
  })

  it('makes its file readable by its owner alone, and its directory too', async () => {
    await place.fill(1)
    const modes = await Promise.all([place.log, place.head, place.signingKey, place.directory].map(async (path) => (await stat(path)).mode & 0o777))
    expect(modes).toEqual([0o600, 0o600, 0o600, 0o700])
    expect((await readdir(place.directory)).toSorted()).toEqual(['audit.jsonl', 'audit.reserve', 'head.json', 'signing.key', 'signing.pub'])
  })

  it('stays its owner’s when root adds to it, also what root makes there', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('only root can')
    await mkdir(place.directory, { recursive: true })
    await chown(place.directory, 65_534, 65_534)
    await place.fill(1)
    const owners = await Promise.all((await readdir(place.directory)).map(async (name) => (await stat(join(place.directory, name))).uid))
    expect(new Set(owners)).toEqual(new Set([65_534]))
    return undefined
  })

  it('follows no link that lies in the place of one of its files', async () => {
    await mkdir(place.directory, { recursive: true })
    const elsewhere = join(place.directory, '..', 'elsewhere')
    await writeFile(elsewhere, 'mine')
    for (const name of ['audit.reserve', 'signing.pub']) await symlink(elsewhere, join(place.directory, name))
    await rm(place.publicKey)
    await place.fill(1)
    expect(await readFile(elsewhere, 'utf8')).toBe('mine')
    for (const path of [place.log, place.head]) {
      await rm(path)
      await symlink(elsewhere, path)
      await expect(place.fill(1)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
      await rm(path)
    }
    expect(await readFile(elsewhere, 'utf8')).toBe('mine')
  })

  it('has no secret in it, in begin, finish or note', async () => {
    const log = await place.open()
    const secrets = [new Secret('hunter2'), new Secret('hunter2-long')]
    const hidden = { ...BEGIN, command: 'login hunter2-long', local: '/tmp/hunter2', remote: 'hunter2', secrets }
    await log.finish(await log.begin(hidden), FINISH)
    await log.note('denied', { ...hidden, reason: 'because of hunter2' })
    expect(await place.text()).not.toContain('hunter2')
    expect(await place.records()).toMatchObject(Array(3).fill({ command: 'login [secret]', local: '/tmp/[secret]', remote: '[secret]' }))
    await log.close()
  })

  it('cannot be made to have another record by what a user or a command says', async () => {
    const log = await place.open()
    const forged = '"}\n{"seq":2,"event":"finish"}\r\n\u2028{"seq":3}'
    await log.note('denied', { user_id: forged, vm_id: forged, command: forged, reason: forged })
    expect(await place.records()).toMatchObject([{ seq: 1, user_id: forged, vm_id: forged, command: forged, reason: forged }])
    await log.close()
  })

  it('writes records that come at once in the order in which they came, under one hold of the lock', async () => {
    const log = await place.open()
    const writes = vi.spyOn(Appender.prototype, 'append')
    const entries = await Promise.all([...Array(600).keys()].map((run) => log.begin({ ...BEGIN, run_id: `run-${run}` })))
    expect((await place.records()).map((record) => record.run_id)).toEqual(entries.map((_, run) => `run-${run}`))
    expect(entries.map((entry) => entry.seq)).toEqual(entries.map((_, run) => run + 1))
    expect(writes.mock.calls.length).toBe(1)
    writes.mockRestore()
    await log.close()
  })

  it('goes on where another log of the same directory ended', async () => {
    const logs = await Promise.all([place.open(), place.open()])
    for (let turn = 0; turn < 6; turn++) await logs[turn % 2]?.note('denied', { reason: String(turn) })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 6 })
    await Promise.all(logs.map((log) => log.close()))
  })
})

describe('the end of an operation', () => {
  it('is recorded once', async () => {
    const log = await place.open()
    const entry = await log.begin(BEGIN)
    await log.finish(entry, FINISH)
    await expect(log.finish(entry, FINISH)).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(await place.records()).toHaveLength(2)
    await log.close()
  })

  it('may be recorded again when it could not be the first time', async () => {
    const log = await place.open()
    const entry = await log.begin(BEGIN)
    await place.free()
    await rename(place.directory, `${place.directory}.away`)
    await writeFile(place.directory, '')
    await expect(log.finish(entry, FINISH)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
    await rm(place.directory)
    await rename(`${place.directory}.away`, place.directory)
    await log.finish(entry, FINISH)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 2 })
    await log.close()
  })

  it('is not recorded of an operation that another log began', async () => {
    const [one, other] = await Promise.all([place.open(), place.open()])
    const entry = await one.begin(BEGIN)
    await expect(other.finish(entry, FINISH)).rejects.toMatchObject({ code: 'INTERNAL' })
    await Promise.all([one.close(), other.close()])
  })
})

describe('closing', () => {
  it('waits for what is being written', async () => {
    const log = await place.open()
    const notes = [1, 2, 3].map(() => log.note('denied', {}))
    await log.close()
    expect(await place.records()).toHaveLength(3)
    await Promise.all(notes)
  })

  it('may be repeated, and refuses what comes after', async () => {
    const log = await place.open()
    await log.note('denied', {})
    await log.close()
    await log.close()
    await expect(log.begin(BEGIN)).rejects.toMatchObject({ code: 'INTERNAL' })
  })
})

describe('a log that cannot be written', () => {
  const inDirectory = async (spoil: () => Promise<unknown>): Promise<void> => {
    await mkdir(place.directory, { recursive: true })
    await spoil()
  }
  const inParent = async (spoil: () => Promise<unknown>): Promise<void> => {
    await mkdir(dirname(place.directory))
    await spoil()
  }
  const ROWS: [string, () => Promise<unknown>, () => Promise<unknown>][] = [
    ['its directory is a file', () => inParent(() => writeFile(place.directory, '')), () => rm(place.directory)],
    ['its directory lies under a file', () => writeFile(dirname(place.directory), ''), () => rm(dirname(place.directory))],
    ['its file is a directory', () => mkdir(place.log, { recursive: true }), () => rm(place.log, { recursive: true })],
    ['its file is a symbolic link', () => inDirectory(() => symlink('/etc/passwd', place.log)), () => rm(place.log)],
    ['its file is a log of something else', () => inDirectory(() => writeFile(place.log, 'Jan 1 sshd: hello\n')), () => rm(place.log)],
    ['its head is a directory', () => mkdir(place.head, { recursive: true }), () => rm(place.head, { recursive: true })],
    ['everyone may write its directory', () => inDirectory(() => chmod(place.directory, 0o777)), () => chmod(place.directory, 0o700)],
  ]
  it.each(ROWS)('refuses every begin while %s, and takes them again when that is mended', async (_, spoil, mend) => {
    await spoil()
    const log = await place.open()
    for (let time = 0; time < 2; time++) {
      await expect(log.begin(BEGIN)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE', message: expect.stringContaining(place.log) })
    }
    await mend()
    await log.finish(await log.begin(BEGIN), FINISH)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 2 })
    await log.close()
  })

  it('refuses when it is an ordinary user’s and the directory may not be written', async (context) => {
    if (process.getuid?.() === 0) return context.skip('root may write everywhere')
    await mkdir(place.directory, { recursive: true })
    await chmod(place.directory, 0o500)
    const log = await place.open()
    await expect(log.begin(BEGIN)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
    await log.close()
    return undefined
  })

  it('refuses all that wait, at once, when another process holds the lock for too long, and names it', async () => {
    const log = await openAudit({ directory: place.directory, clock: systemClock, lockTimeoutMs: 100 })
    await log.note('denied', {})
    await place.free()
    const lock = join(place.directory, 'audit.lock')
    await symlink('remex:elsewhere:boot:1:1:4711:x', lock)
    const begins = await Promise.allSettled([...Array(600).keys()].map(() => log.begin(BEGIN)))
    const reasons = new Set(begins.map((begin) => (begin.status === 'rejected' ? String(begin.reason) : 'resolved')))
    expect([...reasons]).toEqual([expect.stringMatching(/audit\.lock within 100 ms: process 4711 on elsewhere/)])
    await rm(lock)
    await log.begin(BEGIN)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 2 })
    await log.close()
  })

  it('leaves a log of something else as it was', async () => {
    await mkdir(place.directory, { recursive: true })
    await writeFile(place.log, 'Jan 1 sshd: hello\nJan 2 ss')
    const log = await place.open()
    await expect(log.begin(BEGIN)).rejects.toThrow('move it away')
    expect(await place.text()).toBe('Jan 1 sshd: hello\nJan 2 ss')
    await log.close()
  })
})

describe('a log that was changed behind the writer’s back', () => {
  it('has a torn last line moved away, and a record that says so', async () => {
    await place.fill(1)
    await appendFile(place.log, '{"seq":3,"time":"20')
    await place.fill(1)
    const [file = ''] = await torn()
    expect(await readFile(join(place.directory, file), 'utf8')).toBe('{"seq":3,"time":"20')
    expect((await place.records())[2]).toMatchObject({
      event: 'repaired',
      torn_bytes: 19,
      torn_file: file,
      torn_sha256: createHash('sha256').update('{"seq":3,"time":"20').digest('hex'),
    })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 5 })
  })

  it('has zeros moved away, which a power failure leaves in place of data', async () => {
    await place.fill(1)
    await truncate(place.log, (await stat(place.log)).size + 4096)
    await place.fill(1)
    expect((await place.records())[2]).toMatchObject({ event: 'repaired', torn_bytes: 4096 })
  })

  it('keeps records that another writer had written when it was killed before it wrote the head', async () => {
    await place.fill(1)
    const head = await readFile(place.head)
    await place.fill(2)
    await writeFile(place.head, head)
    await place.fill(1)
    expect(await torn()).toEqual([])
    expect((await place.records())[6]).toMatchObject({ event: 'repaired', reason: expect.stringContaining('records 3 to 6 were added after the last signed head') })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 9, repaired: [7] })
  })

  it('has everything behind the last sound record moved away when a page in the middle of a write was lost', async () => {
    await place.fill(1)
    const head = await readFile(place.head)
    await place.fill(2)
    const lines = await place.lines()
    await place.write(lines.with(3, '\0'.repeat(200)))
    await writeFile(place.head, head)
    await place.fill(1)
    expect((await place.records()).map((record) => record.event)).toEqual(['begin', 'finish', 'begin', 'repaired', 'begin', 'finish'])
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 6 })
  })

  it('is continued from its head when records were cut off, so that the gap stays visible', async () => {
    await place.fill(3)
    await place.write((await place.lines()).slice(0, 4))
    await place.fill(1)
    expect((await place.records()).map((record) => record.seq)).toEqual([1, 2, 3, 4, 7, 8, 9])
    expect((await place.records())[4]).toMatchObject({ event: 'repaired', reason: expect.stringContaining('the last is 4, and 6 had been written') })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, line: 5, seq: 5, problem: 'missing' })
  })

  it('is continued from its head when the whole file was removed', async () => {
    await place.fill(2)
    await rm(place.log)
    await place.fill(1)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, line: 1, seq: 1, problem: 'missing' })
  })

  it('shows an altered last record for good, for the next one follows the head', async () => {
    await place.fill(1)
    const lines = await place.lines()
    await place.write(lines.with(1, (lines[1] ?? '').replace('alice', 'mallory')))
    await place.fill(1)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, line: 2, problem: 'altered' })
  })

  const HEADS: [string, string][] = [
    ['is empty', ''],
    ['is not JSON', '{"seq":'],
    ['has a number that is none', '{"seq":-1,"hash":"x","size_bytes":null}'],
    ['is huge', `{"seq":2,"x":"${'x'.repeat(5000)}"}`],
  ]
  it.each(HEADS)('goes on from its last record when its head %s, and says so', async (_, head) => {
    await place.fill(1)
    await writeFile(place.head, head)
    await place.fill(1)
    expect((await place.records())[2]).toMatchObject({ event: 'repaired', reason: 'head.json was missing or not readable' })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 5, headChecked: true })
  })

  it('is followed by a log that is open when its file is replaced by another', async () => {
    const log = await place.open()
    await log.note('denied', {})
    const text = await place.text()
    await rm(place.log)
    await writeFile(place.log, text)
    await log.note('denied', {})
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 2 })
    await log.close()
  })

  it('is made anew by a log that is open when its directory was removed, and the gap is no secret', async () => {
    const log = await place.open()
    await log.note('denied', {})
    await rm(place.directory, { recursive: true })
    await expect(log.begin(BEGIN)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
    await log.finish(await log.begin(BEGIN), FINISH)
    expect(await place.records()).toHaveLength(2)
    await log.close()
  })
})
