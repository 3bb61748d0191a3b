import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Sieve, type AuditFilter } from '../../src/audit/read/filter.ts'
import { START, writeLine } from '../../src/audit/line.ts'
import type { AuditRecord } from '../../src/audit/record.ts'

/** The bytes of the line of a record with these fields. */
function line(fields: Partial<AuditRecord>): Buffer {
  return Buffer.from(writeLine({ event: 'begin', time: '2026-01-31T12:00:00.000Z', ...fields }, START).text.trimEnd())
}

const anyText = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })

describe('Sieve', () => {
  it('finds a record by its own texts, whatever characters they are of', () => {
    fc.assert(
      fc.property(anyText, anyText, (user, host) => {
        const bytes = line({ user_id: user, vm_id: host })
        expect(new Sieve({ user, host, text: host }).pick(bytes)).toEqual(JSON.parse(bytes.toString()))
        expect(new Sieve({ user: `${user}x` }).pick(bytes)).toBeUndefined()
      }),
    )
  })

  it('passes no line over unparsed whose record it wants', () => {
    const short = fc.string({ unit: fc.constantFrom('k', 'K', '\u212a', 'ß', 'i', 'İ', '"', '\\', '\n', '\u001b', '.', ':', 'é', '\u202e'), minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(short, short, short, (text, command, host) => {
        const bytes = line({ command, vm_id: host })
        const record: AuditRecord = JSON.parse(bytes.toString())
        for (const sieve of [new Sieve({ text }), new Sieve({ host: text })]) expect(sieve.pick(bytes)).toEqual(sieve.wants(record) ? record : undefined)
      }),
      { numRuns: 500 },
    )
  })

  const TIMES: [string, AuditFilter, boolean][] = [
    ['at the first moment', { since: new Date('2026-01-31T12:00:00.000Z') }, true],
    ['after the first moment', { since: new Date('2026-01-31T11:59:59.999Z') }, true],
    ['before the first moment', { since: new Date('2026-01-31T12:00:00.001Z') }, false],
    ['at the end', { until: new Date('2026-01-31T12:00:00.000Z') }, false],
    ['before the end', { until: new Date('2026-01-31T12:00:00.001Z') }, true],
  ]
  it.each(TIMES)('judges a record and a part of the log alike %s', (_, filter, wanted) => {
    const time = '2026-01-31T12:00:00.000Z'
    expect(new Sieve(filter).pick(line({}))).toEqual(wanted ? expect.anything() : undefined)
    expect(new Sieve(filter).canBeIn({ from_time: time, to_time: time, last_seq: 1 })).toBe(wanted)
  })

  it('gives no record of a time that is none to who asks for times', () => {
    const bytes = Buffer.from(line({}).toString().replace('2026-01-31T12', 'yesterday'))
    expect(new Sieve({}).pick(bytes)).toBeDefined()
    expect(new Sieve({ since: new Date(0) }).pick(bytes)).toBeUndefined()
  })
})
