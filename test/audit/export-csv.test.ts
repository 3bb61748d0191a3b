import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CSV } from '../../src/audit/export/csv.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { printable } from '../../src/core/printable.ts'
import { RECORD } from './export-records.ts'

/** The records of a CSV text, by RFC 4180. */
function parsed(text: string): string[][] {
  const rows: string[][] = [[]]
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain ?? '')
    if (end === '\r\n') rows.push([])
  }
  return rows.slice(0, -1)
}

const HEAD = parsed(CSV.head)[0] ?? []

/** The cells of a record by their columns. */
function cellsOf(record: AuditRecord): Record<string, string> {
  const [row = [], ...others] = parsed(CSV.text(record))
  expect(others).toEqual([])
  expect(row).toHaveLength(HEAD.length)
  return Object.fromEntries(HEAD.map((name, at) => [name, row[at] ?? '']))
}

describe('CSV', () => {
  it('begins with the names of the fields in the order of the log, and one for all others', () => {
    expect(HEAD.slice(0, 5)).toEqual(['seq', 'time', 'event', 'op_id', 'run_id'])
    expect(HEAD.slice(-3)).toEqual(['prev', 'hash', 'other'])
  })

  it('has texts and numbers as they are, lists and objects as JSON, and nothing for null and for what is not there', () => {
    const cells = cellsOf({ ...RECORD, exit_code: null, env_names: ['LANG', 'a,b'], killed: { ended: 4, survivors: [], scope: 'tree' } })
    expect(cells).toMatchObject({ seq: '7', user_id: 'alice', exit_code: '', reason: '', env_names: '["LANG","a,b"]', killed: '{"ended":4,"survivors":[],"scope":"tree"}', other: '' })
  })

  it('has what a later version wrote in its last column', () => {
    expect(cellsOf({ ...RECORD, ...{ later: [1], 'a"b': null } })['other']).toBe('{"later":[1],"a\\"b":null}')
  })

  it.each([
    ['=cmd|\' /C calc\'!A0'], ['+1'], ['-rf'], ['@SUM(A1)'], ['\t=1'], ['＝1'], ['＋1'], ['－1'], ['＠1'],
  ])('guards %j, which a spreadsheet would take as a formula, by an apostrophe', (command) => {
    expect(cellsOf({ ...RECORD, command })['command']).toBe(`'${command}`)
  })

  it('leaves a number that is negative a number', () => {
    expect(CSV.text({ ...RECORD, exit_code: -1 })).toContain(',-1,')
  })

  it('is one line for a record, and gives back every text as it can be printed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (command) => {
        const text = CSV.text({ ...RECORD, command })
        expect(text.slice(0, -2)).not.toMatch(/[\r\n\u001b]/)
        const guard = /^[=+\-@\t＝＋－＠]/.test(command) ? "'" : ''
        expect(cellsOf({ ...RECORD, command })['command']).toBe(guard + printable(command))
      }),
    )
  })
})
