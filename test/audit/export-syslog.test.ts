import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { syslog } from '../../src/audit/export/syslog.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { printable } from '../../src/core/printable.ts'
import { BEGUN, RECORD } from './export-records.ts'

const format = syslog({ machine: 'control01', version: '1.2.3' })

/** A line by the grammar of RFC 5424, section 6. */
const LINE = /^<(?<priority>\d{1,3})>1 (?<time>\S+) (?<host>[!-~]{1,255}) (?<app>[!-~]{1,48}) (?<pid>[!-~]{1,128}) (?<id>[!-~]{1,32}) \[(?<data>remex@32473(?: [^ ="\]]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\] (?<message>.*)\n$/u

interface Parsed {
  readonly head: Readonly<Record<string, string | undefined>>
  readonly data: Readonly<Record<string, string>>
}

/** Parses the line of a record, strictly. */
function parsed(record: AuditRecord): Parsed {
  const text = format.text(record)
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(8192)
  const { data = '', ...head } = LINE.exec(text)?.groups ?? {}
  const parameters = [...data.matchAll(/ ([^ ="\]]+)="((?:[^"\\\]]|\\["\\\]])*)"/g)].map(([, name = '', value = '']) => [name, value.replaceAll(/\\(["\\\]])/g, '$1')])
  return { head, data: Object.fromEntries(parameters) }
}

describe('syslog', () => {
  it('has time, machine, process and event in its head, all fields in its data, and a sentence for people', () => {
    expect(format.text(BEGUN)).toBe(
      '<86>1 2026-01-31T12:00:00.000Z control01 remex 4711 begin [remex@32473 run_id="run-1" user_id="alice" vm_id="vm01" address="10.0.0.10" login="thadmin" operation="run" command="echo hello" env_names="[\\"LANG\\"\\]" seq="6" op_id="op-1" os_user="root" ' +
        `prev="${'c'.repeat(64)}" hash="${'a'.repeat(64)}"] begin: run on vm01 by alice: echo hello\n`,
    )
    expect(parsed(RECORD)).toMatchObject({ head: { id: 'finish', message: 'finish: run on vm01 by alice, exit 0: echo hello' }, data: { seq: '7', exit_code: '0', execution_time: '0.043' } })
  })

  const PRIORITIES: [string, Partial<AuditRecord>, number][] = [
    ['informational for what went well', {}, 86],
    ['a warning for what failed', { status: 'error', exit_code: 3 }, 84],
    ['a warning for what was denied', { event: 'denied', status: 'error', error_code: 'POLICY_DENIED' }, 84],
    ['an error for a host with another key', { status: 'error', error_code: 'HOST_KEY_CHANGED' }, 83],
    ['an error for a log that was damaged', { event: 'repaired' }, 83],
  ]
  it.each(PRIORITIES)('is %s', (_, fields, priority) => {
    expect(parsed({ ...RECORD, ...fields }).head['priority']).toBe(String(priority))
  })

  it('says so where a message is not ASCII, and only there', () => {
    expect(parsed({ ...RECORD, command: 'écho' }).head['message']).toBe('\ufefffinish: run on vm01 by alice, exit 0: écho')
    expect(parsed(RECORD).head['message']).not.toContain('\ufeff')
  })

  it('gives back every value as it can be printed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('"', '\\', ']', '\\"', ']\\', '\n', '\u001b[2J'), (command, hostile) => {
        const { data } = parsed({ ...RECORD, command: command + hostile })
        expect(data['command']).toBe(printable(command + hostile))
      }),
    )
  })

  it('is at most 8 KiB long, and marks where it was cut', () => {
    const { data } = parsed({ ...RECORD, command: '"'.repeat(16_384), reason: 'short' })
    expect(data['command']).toMatch(/^"{1024,}…\[cut\]$/)
    expect(data).toMatchObject({ reason: 'short', hash: RECORD.hash })
    const texts = Object.fromEntries(Object.keys(RECORD).map((name) => [name, '\\'.repeat(50_000)]))
    expect(Object.keys(parsed({ ...RECORD, ...texts, seq: 7, pid: 1, event: '\ud83d'.repeat(9000) }).data)).toHaveLength(Object.keys(RECORD).length - 3)
  })

  it('has what a later version wrote in one value, whatever its names are', () => {
    const later = Object.fromEntries([...Array(3000).keys()].map((at) => [`] "=${at}`, at]))
    expect(parsed({ ...RECORD, ...{ 'a b': 1 } }).data['other']).toBe('{"a b":1}')
    expect(parsed({ ...RECORD, ...later }).data['other']).toMatch(/…\[cut\]$/)
  })

  it('has a dash for a time that is none, and no blank in a word of the head', () => {
    expect(parsed({ ...RECORD, time: 'yesterday', event: 'a b é' }).head).toMatchObject({ time: '-', id: 'a_b__' })
    expect(syslog({ machine: '', version: '1' }).text(RECORD)).toContain('Z - remex ')
  })
})
