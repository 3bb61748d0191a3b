import { appendFile, mkdir, readdir, readFile, rm, truncate } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { AuditFilter } from '../../src/audit/read/filter.ts'
import { followAudit } from '../../src/audit/read/follow.ts'
import { KEEP_LIMITS, openAudit, type AuditLog } from '../../src/audit/log.ts'
import { systemClock } from '../../src/core/clock.ts'
import { until } from '../../testkit/until.ts'
import { program, type Program } from './child.ts'
import { BEGIN, FINISH, logDirectory, type LogDirectory } from './log-directory.ts'

const WRITER = `
  import { KEEP_LIMITS, openAudit } from './audit/log.ts'
  import { systemClock } from './core/clock.ts'
  const [directory, name, count] = process.argv.slice(2)
  const log = await openAudit({ directory, clock: systemClock, limits: { ...KEEP_LIMITS, rotateBytes: 3000, rotateAgeMs: 1e9 } })
  for (let run = 0; run < Number(count); run++) {
    const entry = await log.begin({ user_id: name, vm_id: 'vm01', operation: 'run', run_id: name + run })
    await log.finish(entry, { status: 'success' })
  }
  await log.close()
`

let place: LogDirectory
let stop: AbortController

beforeEach(async () => {
  place = await logDirectory()
  stop = new AbortController()
})
afterEach(async () => {
  stop.abort()
  await place.remove()
})

/** Follows, and collects the numbers of what comes; `ended` settles when it is over. */
function followed(filter: AuditFilter = {}): { readonly seqs: number[]; readonly ended: Promise<void> } {
  const seqs: number[] = []
  const follow = async (): Promise<void> => {
    for await (const page of followAudit(place.directory, filter, stop.signal)) seqs.push(...page.map(({ seq }) => seq))
  }
  return { seqs, ended: follow() }
}

/** A log that begins a new file after so many bytes. */
function opened(rotateBytes: number): Promise<AuditLog> {
  return openAudit({ directory: place.directory, clock: systemClock, limits: { ...KEEP_LIMITS, rotateBytes, rotateAgeMs: Infinity } })
}

const oneTo = (last: number): number[] => [...Array(last).keys()].map((at) => at + 1)

describe('followAudit', () => {
  let writer: Program
  beforeAll(async () => {
    writer = await program(WRITER)
  })
  afterAll(() => writer.remove())

  it('gives every record once, in order, while several processes write and the log turns to new files', async () => {
    await place.fill(1)
    const { seqs, ended } = followed()
    await until(() => seqs.length === 2, { what: 'what is there' })
    const writers = ['ann', 'ben', 'cid'].map((name) => writer.start(place.directory, name, '60'))
    await until(() => seqs.length > 50, { what: 'records while they are written' })
    expect(await Promise.all(writers.map((child) => child.ended))).toEqual([0, 0, 0])
    const { seq }: { seq: number } = JSON.parse(await readFile(place.head, 'utf8'))
    await until(() => seqs.at(-1) === seq, { what: `record ${seq}` })
    expect(seqs).toEqual(oneTo(seq))
    expect((await readdir(place.directory)).filter((name) => name.endsWith('.jsonl')).length).toBeGreaterThan(10)
    stop.abort()
    await ended
  })

  it('gives what is there, then what comes, by the filter', async () => {
    const log = await opened(1)
    await log.finish(await log.begin(BEGIN), FINISH)
    const { seqs } = followed({ event: 'begin', sinceSeq: 1 })
    await log.begin(BEGIN)
    await until(() => seqs.length === 1, { what: 'the first' })
    await log.begin(BEGIN)
    await until(() => seqs.length === 2, { what: 'the second' })
    // Each is in a file of its own, behind the record that says so.
    expect(seqs).toEqual([5, 7])
    await log.close()
  })

  it('waits for a log that is not there yet', async () => {
    const { seqs } = followed()
    await place.fill(1)
    await until(() => seqs.length === 2, { what: 'the records' })
  })

  it('goes on in a log that was begun anew', async () => {
    await place.fill(2)
    const { seqs } = followed()
    await until(() => seqs.length === 4, { what: 'the first log' })
    await rm(place.directory, { recursive: true })
    await place.fill(1)
    await until(() => seqs.length === 6, { what: 'the second log' })
    expect(seqs).toEqual([1, 2, 3, 4, 1, 2])
  })

  it('gives a line when it is whole, and not before', async () => {
    await place.fill(2)
    const [first = '', second = '', ...rest] = await place.lines()
    await place.write([first])
    const { seqs } = followed()
    await appendFile(place.log, second.slice(0, 100))
    await until(() => seqs.length === 1, { what: 'the first line' })
    await appendFile(place.log, second.slice(100))
    await appendFile(place.log, `\n${rest.join('\n')}\n`)
    await until(() => seqs.length === 4, { what: 'the others' })
    expect(seqs).toEqual([1, 2, 3, 4])
  })

  it('goes on where a writer took back what it wrote', async () => {
    await place.fill(2)
    const { seqs } = followed()
    await until(() => seqs.length === 4, { what: 'what is there' })
    const { size_bytes: size }: { size_bytes: number } = JSON.parse(await readFile(place.head, 'utf8'))
    await appendFile(place.log, `no record\n${'\0'.repeat(5000)}\n`)
    await truncate(place.log, size)
    await place.fill(1)
    await until(() => seqs.length >= 6, { what: 'what came later' })
    expect(seqs).toEqual(oneTo(6))
  })

  it('ends when it is told to, also before it began', async () => {
    const { seqs, ended } = followed()
    stop.abort()
    await ended
    expect(seqs).toEqual([])
  })

  it('is an error where the log cannot be read', async () => {
    await place.fill(1)
    await rm(place.log)
    await mkdir(place.log)
    await expect(followed().ended).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
  })
})
