import { createHash } from 'node:crypto'
import { appendFile, mkdir, open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { AuditProblem, AuditVerdict } from '../../src/audit/verify/verdict.ts'
import { verifyAudit } from '../../src/audit/verify/verify.ts'
import { logDirectory, type LogDirectory } from './log-directory.ts'

const RECORDS = 60

/** A log of 60 records, made once; each test tampers with a copy. */
let whole: { lines: string[]; head: string; earlierHead: string; publicKey: string }
let place: LogDirectory

beforeAll(async () => {
  const made = await logDirectory()
  await made.fill(RECORDS / 3)
  const earlierHead = await readFile(made.head, 'utf8')
  await made.fill(RECORDS / 6)
  whole = { earlierHead, lines: await made.lines(), head: await readFile(made.head, 'utf8'), publicKey: await readFile(made.publicKey, 'utf8') }
  await made.remove()
})
beforeEach(async () => {
  place = await logDirectory()
  await mkdir(place.directory, { recursive: true })
  await writeFile(place.head, whole.head)
  await writeFile(place.publicKey, whole.publicKey)
})
afterEach(() => place.remove())

async function verdictOf(lines: readonly string[]): Promise<AuditVerdict> {
  await place.write(lines)
  return verifyAudit(place.directory)
}

/** The line with a field changed, and its hash as it was. */
function changed(line: string, change: (record: Record<string, unknown>) => void): string {
  const record: Record<string, unknown> = JSON.parse(line)
  change(record)
  return JSON.stringify(record)
}

/** The line with a hash that fits it. */
function rehashed(line: string): string {
  const { hash: _, ...record }: Record<string, unknown> = JSON.parse(line)
  const hash = createHash('sha256').update(JSON.stringify(record)).digest('hex')
  return JSON.stringify({ ...record, hash })
}

/** A value of the same type that is another one. */
function another(value: unknown): unknown {
  if (typeof value === 'number') return value + 1
  if (typeof value === 'string') return /^[0-9a-f]{64}$/.test(value) ? value.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) : `${value}x`
  if (Array.isArray(value)) return [...value, 'x']
  return value === null ? 'x' : null
}

const at = (index: number): string => whole.lines[index] ?? ''
/** The verdict that names the record at `index`. */
const wrong = (index: number, problem: AuditProblem): object => ({ ok: false, line: index + 1, seq: index + 1, problem })
const without = (from: number, count = 1): string[] => whole.lines.toSpliced(from, count)

describe('a log as it was written', () => {
  it('verifies, with its count and head', async () => {
    const last: Record<string, unknown> = JSON.parse(at(RECORDS - 1))
    const head = { seq: RECORDS, hash: last.hash }
    const key: unknown = JSON.parse(whole.head).key
    const rest = { firstSeq: 1, files: 1, tornBytes: 0, repaired: [], outputs: 0, anchors: { checked: 0, tooOld: 0 } }
    expect(await verdictOf(whole.lines)).toEqual({ ok: true, count: RECORDS, head, headChecked: true, signed: { key, seq: RECORDS }, ...rest })
  })

  it('of a version that did not sign verifies without head and key, and the verdict says what is not proven', async () => {
    await rm(place.head)
    await rm(place.publicKey)
    expect(await verdictOf(without(50, 10))).toMatchObject({ ok: true, count: 50, headChecked: false, signed: undefined })
  })

  it('verifies with a torn line at its end, which a writer that was interrupted leaves', async () => {
    await place.write(whole.lines)
    await appendFile(place.log, at(0).slice(0, 100))
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: RECORDS, tornBytes: 100 })
  })

  it('verifies when it is ahead of its head, as a writer leaves it that was killed', async () => {
    await writeFile(place.head, whole.earlierHead)
    expect(await verdictOf(whole.lines)).toMatchObject({ ok: true, count: RECORDS, signed: { seq: 40 } })
  })

  it('verifies when there is none yet', async () => {
    await rm(place.head)
    expect(await verifyAudit(place.directory)).toMatchObject({ ok: true, count: 0, head: { seq: 0 } })
  })

  it('of a path that cannot be read is an error and no verdict', async () => {
    await mkdir(place.log)
    await expect(verifyAudit(place.directory)).rejects.toMatchObject({ code: 'AUDIT_UNAVAILABLE' })
  })
})

describe('a log of sixty records', () => {
  it('names the record in which any one field was altered', async () => {
    for (const [index, line] of whole.lines.entries()) {
      for (const field of Object.keys(JSON.parse(line))) {
        const altered = changed(line, (record) => (record[field] = another(record[field])))
        expect(await verdictOf(whole.lines.with(index, altered)), `${field} of record ${index + 1}`).toMatchObject(wrong(index, 'altered'))
      }
    }
  })

  it('names the record in which any one field was altered and the hash computed anew', async () => {
    for (const [index, line] of whole.lines.entries()) {
      for (const field of Object.keys(JSON.parse(line)).filter((name) => name !== 'hash')) {
        const altered = rehashed(changed(line, (record) => (record[field] = another(record[field]))))
        expect(await verdictOf(whole.lines.with(index, altered)), `${field} of record ${index + 1}`).toMatchObject(wrong(index, 'altered'))
      }
    }
  })

  it('names a record that was removed, wherever it was', async () => {
    for (let index = 0; index < RECORDS; index++) {
      const problem = index === RECORDS - 1 ? 'cut_off' : 'missing'
      expect(await verdictOf(without(index))).toMatchObject(wrong(index, problem))
    }
  })

  it('names two records that were swapped, neighbours or far apart', async () => {
    for (let index = 0; index < RECORDS - 1; index++) {
      for (const other of [index + 1, RECORDS - 1]) {
        const swapped = whole.lines.with(index, at(other)).with(other, at(index))
        expect(await verdictOf(swapped)).toMatchObject(wrong(index, 'reordered'))
      }
    }
  })

  it('names a record that stands there twice', async () => {
    for (let index = 0; index < RECORDS; index++) {
      for (const where of [index + 1, RECORDS]) {
        const doubled = whole.lines.toSpliced(where, 0, at(index))
        expect(await verdictOf(doubled)).toMatchObject(wrong(where, 'repeated'))
      }
    }
  })

  it('names the first record that is gone when it was cut off after any record', async () => {
    for (let kept = 0; kept < RECORDS; kept++) {
      expect(await verdictOf(without(kept, RECORDS))).toMatchObject(wrong(kept, 'cut_off'))
    }
  })

  it('names the record that was cut in two when it was cut at any byte of its last two records', async () => {
    const text = whole.lines.map((line) => `${line}\n`).join('')
    const [size, lastSize] = [Buffer.byteLength(text), Buffer.byteLength(at(RECORDS - 1)) + 1]
    const twoLastSize = lastSize + Buffer.byteLength(at(RECORDS - 2)) + 1
    await writeFile(place.log, text)
    for (let cut = 1; cut < twoLastSize; cut += 7) {
      await truncate(place.log, size - cut)
      const seq = cut <= lastSize ? RECORDS : RECORDS - 1
      expect(await verifyAudit(place.directory)).toMatchObject(wrong(seq - 1, 'cut_off'))
    }
  })

  it('is found to be cut off when the whole file is gone', async () => {
    expect(await verifyAudit(place.directory)).toMatchObject(wrong(0, 'cut_off'))
  })
})

describe('a log that was tampered with in other ways', () => {
  const ROWS: [string, () => string[], object][] = [
    ['three records were removed', () => without(10, 3), { line: 11, seq: 11, problem: 'missing', message: 'records 11 to 13 are missing before line 11' }],
    ['a line of text was put in', () => whole.lines.toSpliced(7, 0, 'hello'), { line: 8, seq: 8, problem: 'not_json' }],
    ['an empty line was put in', () => whole.lines.toSpliced(7, 0, ''), { line: 8, seq: 8, problem: 'not_json' }],
    ['a line of two MiB was put in', () => whole.lines.toSpliced(7, 0, 'x'.repeat(2 ** 21)), { line: 8, seq: 8, problem: 'not_json' }],
    ['a record of its own was put in', () => whole.lines.toSpliced(7, 0, rehashed(changed(at(7), (record) => (record.user_id = 'mallory')))), { problem: 'repeated', seq: 9 }],
    ['the lines end in CR LF', () => whole.lines.map((line) => `${line}\r`), { line: 1, seq: 1, problem: 'altered' }],
    ['two records are on one line', () => whole.lines.toSpliced(4, 2, at(4) + at(5)), { line: 5, seq: 5 }],
    ['it is written backwards', () => whole.lines.toReversed(), { line: 1, seq: 1, problem: 'reordered' }],
  ]
  it.each(ROWS)('is found when %s', async (_, lines, fault) => {
    expect(await verdictOf(lines())).toMatchObject({ ok: false, ...fault })
  })

  it('is found when every hash after an altered record was computed anew, by the head beside it', async () => {
    let prev: unknown
    const forged = whole.lines.map((line, index) => {
      const next = rehashed(changed(line, (record) => Object.assign(record, index === 0 ? { user_id: 'mallory' } : { prev })))
      prev = JSON.parse(next).hash
      return next
    })
    expect(await verdictOf(forged)).toMatchObject(wrong(RECORDS - 1, 'altered'))
  })
})

describe('a long log', () => {
  let long: LogDirectory
  beforeAll(async () => {
    long = await logDirectory()
    await long.fill(1)
  })
  afterAll(() => long.remove())

  it('is read in bounded memory, even where a line has no end', async () => {
    const sizeBytes = 256 * 2 ** 20
    const file = await open(long.log, 'r+')
    await file.truncate(sizeBytes)
    await file.close()
    const before = process.memoryUsage().rss
    expect(await verifyAudit(long.directory)).toMatchObject({ ok: true, count: 2 })
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * 2 ** 20)
  })
})
