import { randomBytes } from 'node:crypto'
import { readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sha256 } from '../../src/audit/line.ts'
import { KEEP_LIMITS, openAudit } from '../../src/audit/log.ts'
import { OutputRecording, type OutputMask, type RecordedOutput } from '../../src/audit/output-recording.ts'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { FakeClock } from '../../testkit/fake-clock.ts'
import { BEGIN, FINISH, logDirectory, type LogDirectory } from './log-directory.ts'

const DAY_MS = 86_400_000
const LIMITS = { ...KEEP_LIMITS, rotateAgeMs: DAY_MS, outputRetentionMs: 3 * DAY_MS }
const PLAIN: OutputMask = { push: (chunk) => chunk, end: () => Buffer.alloc(0) }

let place: LogDirectory
let clock: FakeClock

beforeEach(async () => {
  place = await logDirectory()
  clock = new FakeClock()
})
afterEach(() => place.remove())

const recording = (mask = PLAIN): OutputRecording => new OutputRecording({ directory: place.directory, clock, maskOf: () => mask })

async function recorded(chunks: readonly ['stdout' | 'stderr', Buffer][], mask = PLAIN): Promise<RecordedOutput> {
  const one = recording(mask)
  for (const [stream, chunk] of chunks) await one.take(stream, chunk)
  return one.finish()
}

/** One operation that wrote `text`, in the log with its output. */
async function operate(text: string): Promise<RecordedOutput> {
  const log = await openAudit({ directory: place.directory, clock, limits: LIMITS })
  const entry = await log.begin(BEGIN)
  const files = await recorded([['stdout', Buffer.from(text)]])
  await log.finish(entry, { ...FINISH, ...files })
  await log.close()
  return files
}

const pathOf = (name: string | undefined): string => join(place.directory, name ?? '')

describe('recorded output', () => {
  it('lies in compressed files of its day that are named by their content, readable by the owner alone', async () => {
    const files = await recorded([
      ['stdout', Buffer.from('hel')],
      ['stderr', Buffer.from('oh')],
      ['stdout', Buffer.from('lo\n')],
    ])
    expect(files).toEqual({ stdout_file: `outputs/2026-01-31/${sha256('hello\n')}.gz`, stderr_file: `outputs/2026-01-31/${sha256('oh')}.gz` })
    expect(gunzipSync(await readFile(pathOf(files.stdout_file))).toString()).toBe('hello\n')
    expect((await stat(pathOf(files.stdout_file))).mode & 0o777).toBe(0o600)
    expect((await stat(pathOf('outputs/2026-01-31'))).mode & 0o777).toBe(0o700)
  })

  it('of a stream that wrote nothing has no file', async () => {
    expect(await recorded([])).toEqual({})
    expect(await recorded([['stderr', Buffer.from('x')]])).not.toHaveProperty('stdout_file')
  })

  it('is kept as the mask leaves it', async () => {
    const mask: OutputMask = { push: () => Buffer.from('*'), end: () => Buffer.from('.') }
    const { stdout_file: name } = await recorded([['stdout', Buffer.from('secret')], ['stdout', Buffer.from('secret')]], mask)
    expect(gunzipSync(await readFile(pathOf(name))).toString()).toBe('**.')
  })

  it('is kept whole where it is larger than what may be held in memory, and equal output only once', async () => {
    const chunks = Array.from({ length: 200 }, (): ['stdout', Buffer] => ['stdout', randomBytes(65_536)])
    const { stdout_file: name } = await recorded(chunks)
    expect(gunzipSync(await readFile(pathOf(name))).equals(Buffer.concat(chunks.map(([, chunk]) => chunk)))).toBe(true)
    await recorded(chunks)
    expect(await readdir(pathOf('outputs/2026-01-31'))).toHaveLength(1)
  })

  it('leaves nothing behind when it is discarded', async () => {
    const one = recording()
    await one.take('stdout', Buffer.from('x'))
    await one.discard()
    expect(await readdir(pathOf('outputs'))).toEqual([])
  })
})

describe('verify', () => {
  it('reads the output that records name', async () => {
    await operate('one\n')
    await operate('two\n')
    await operate('one\n')
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, outputs: 2 })
  })

  const CHANGES: [string, (path: string) => Promise<void>, string, string][] = [
    ['other bytes stand there', (path) => writeFile(path, gzipSync('two\n')), 'altered', 'is not what was written'],
    ['it was cut', async (path) => writeFile(path, (await readFile(path)).subarray(0, 12)), 'altered', 'is not what was written'],
    ['it is not compressed', (path) => writeFile(path, 'one\n'), 'altered', 'is not what was written'],
    ['it is gone', (path) => rm(path), 'missing', 'is not there'],
  ]
  it.each(CHANGES)('names the record whose output is wrong when %s', async (_, change, problem, message) => {
    await operate('zero\n')
    const { stdout_file: name } = await operate('one\n')
    await operate('three\n')
    await change(pathOf(name))
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem, seq: 4, file: 'audit.jsonl', line: 4, message: expect.stringContaining(message) })
  })

  it('does not follow a name that leads elsewhere', async () => {
    const log = await openAudit({ directory: place.directory, clock })
    await log.finish(await log.begin(BEGIN), { ...FINISH, stdout_file: 'outputs/../../audit.jsonl' })
    await log.close()
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'altered', seq: 2 })
  })
})

describe('output that is old', () => {
  it('is removed by whole days, with a record that says so', async () => {
    for (let day = 0; day < 6; day++) {
      await operate(`day ${day}\n`)
      await clock.advance(DAY_MS)
    }
    expect(await readdir(pathOf('outputs'))).toEqual(['2026-02-02', '2026-02-03', '2026-02-04', '2026-02-05'])
    expect((await place.records())[1]).toMatchObject({ event: 'outputs_removed', before_day: '2026-02-02' })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, outputs: 4 })
  })

  it('is removed too where it was left half written, once it is old', async () => {
    await operate('one\n')
    const [left, fresh] = ['.new-left', '.new-fresh'].map((name) => pathOf(`outputs/${name}`)) as [string, string]
    for (const path of [left, fresh]) await writeFile(path, '')
    await utimes(left, new Date(clock.now() - 10 * DAY_MS), new Date(clock.now() - 10 * DAY_MS))
    await clock.advance(DAY_MS)
    await operate('two\n')
    expect((await readdir(pathOf('outputs'))).filter((name) => name.startsWith('.new'))).toEqual(['.new-fresh'])
  })

  it('is missed when it was removed without such a record', async () => {
    for (let day = 0; day < 6; day++) {
      await operate(`day ${day}\n`)
      await clock.advance(DAY_MS)
    }
    await rm(pathOf('outputs/2026-02-02'), { recursive: true })
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: false, problem: 'missing', message: expect.stringContaining('outputs/2026-02-02/') })
  })
})
