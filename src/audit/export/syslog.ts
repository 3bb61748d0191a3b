import { printable } from '../../core/printable.ts'
import type { AuditRecord } from '../record.ts'
import { sentenceOf } from '../read/record-words.ts'
import { isKnownField, unknownFields } from './fields.ts'
import type { ExportFormat, Origin } from './format.ts'
import { weightOf, type Weight } from './weight.ts'

/** "security/authorization messages (private)": syslog daemons keep these where only administrators read them. */
const AUTHPRIV = 10
const SEVERITIES: Record<Weight, number> = { routine: 6, failure: 4, refusal: 4, alarm: 3 }

/** The enterprise number that RFC 5612 sets aside for examples: Remex has none of its own. */
const SD_ID = 'remex@32473'

const MAX_LINE_BYTES = 8192
const MAX_MESSAGE_BYTES = 512
const MAX_MSGID = 32
const MAX_HOSTNAME = 255
const CUT_MARK = '…[cut]'
const BOM = '\ufeff'

/** What the head of the line says already. */
const IN_HEAD: ReadonlySet<string> = new Set(['time', 'event', 'pid'])

/**
 * Syslog by RFC 5424, a line for each record: its fields in `[remex@32473 …]`, and a sentence for people. A line is
 * at most 8 KiB long: what makes it longer, mostly the command, is cut, and marked where it is.
 */
export function syslog({ machine }: Origin): ExportFormat {
  const host = headField(machine, MAX_HOSTNAME)
  return { head: '', text: (record) => `${lineOf(record, host)}\n` }
}

function lineOf(record: AuditRecord, host: string): string {
  const { time, event, pid } = record
  const priority = AUTHPRIV * 8 + SEVERITIES[weightOf(record)]
  const head = `<${priority}>1 ${timestamp(time)} ${host} remex ${pid === undefined ? '-' : headField(String(pid), MAX_MSGID)} ${headField(event, MAX_MSGID)}`
  const message = messageOf(record)
  // Field names and the shortest values fit, so this ends.
  for (let mostBytes = MAX_LINE_BYTES; ; mostBytes = Math.floor(mostBytes / 2)) {
    const line = `${head} [${[SD_ID, ...parameters(record, mostBytes)].join(' ')}] ${message}`
    if (Buffer.byteLength(line) < MAX_LINE_BYTES || mostBytes === 0) return line
  }
}

function parameters(record: AuditRecord, mostBytes: number): readonly string[] {
  const other = unknownFields(record)
  const known = Object.entries(record).filter(([name, value]) => value !== null && isKnownField(name) && !IN_HEAD.has(name))
  return (other ? [...known, ['other', other] as const] : known).map(([name, value]) => `${name}="${parameterValue(value, mostBytes)}"`)
}

/** RFC 5424, 6.3.3. A newline would end the line, so control characters are visible escapes. */
function parameterValue(value: unknown, mostBytes: number): string {
  if (typeof value === 'number') return String(value)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return cut(printable(text), mostBytes).replaceAll(/["\\\]]/g, String.raw`\$&`)
}

/** RFC 5424, 6.4: a message that is not ASCII is UTF-8 and says so by its first character. */
function messageOf(record: AuditRecord): string {
  const text = cut(printable(sentenceOf(record)), MAX_MESSAGE_BYTES)
  return /^[\t -~]*$/.test(text) ? text : BOM + text
}

/** RFC 5424, 6.2.3. */
function timestamp(time: string): string {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z$/.test(time) ? time : '-'
}

/** A word of the head: visible ASCII. */
function headField(text: string, mostChars: number): string {
  return text.replaceAll(/[^!-~]/g, '_').slice(0, mostChars) || '-'
}

/** At most `mostBytes` of UTF-8, and a mark where that is less than all. Never half a character. */
function cut(text: string, mostBytes: number): string {
  // No character of a string takes more than three bytes.
  if (text.length * 3 <= mostBytes || Buffer.byteLength(text) <= mostBytes) return text
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(mostBytes))
  return text.slice(0, read) + CUT_MARK
}
