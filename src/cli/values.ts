import { remexError } from '../core/errors.ts'
import { parseDurationMs } from '../core/duration.ts'
import { parseFingerprint } from '../core/host-key.ts'
import { printable } from '../core/printable.ts'
import type { HostCount } from '../fleet/batches.ts'

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

/** A whole number of at least `least`. Throws `USAGE` naming the option. */
export function wholeNumber(option: string, least: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (Number.isSafeInteger(value) && value >= least) return value
    throw remexError('USAGE', `${option}: ${shown(text)} is not a whole number of at least ${least}`)
  }
}

/** Bytes: `65536`, `64k`, `10M`, `1G` (powers of 1024). Throws `USAGE` naming the option. */
export function sizeBytes(option: string): (text: string) => number {
  return (text) => {
    const [, digits, unit = ''] = /^(\d+)([kmg]?)(?:i?b)?$/i.exec(text) ?? []
    const value = digits === undefined ? Number.NaN : Number(digits) * (SIZE_UNITS[unit.toLowerCase()] ?? Number.NaN)
    if (Number.isSafeInteger(value)) return value
    throw remexError('USAGE', `${option}: ${shown(text)} is not a size`, { hint: 'A size is a number of bytes, or 64k, 10M, 1G.' })
  }
}

/** Permission bits in octal: `0640`, `755`. Throws `USAGE`. */
export function octalMode(text: string): number {
  if (/^0?[0-7]{3,4}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) return Number.parseInt(text, 8)
  throw remexError('USAGE', `--mode: ${shown(text)} is not a mode in octal`, { hint: 'As chmod takes it: --mode 0640' })
}

/** A number of hosts of at least `least`, or a share of them: `5`, `10%`. Throws `USAGE` naming the option. */
export function countOrShare(option: string, least: number): (text: string) => HostCount {
  return (text) => {
    const [, digits, sign] = /^(\d+)(%?)$/.exec(text) ?? []
    const value = Number(digits ?? Number.NaN)
    if (Number.isSafeInteger(value) && value >= least && sign === '') return value
    if (value >= least && value <= 100 && sign === '%') return `${value}%`
    throw remexError('USAGE', `${option}: ${shown(text)} is not a number of hosts`, { hint: `A whole number of at least ${least}, or a share of all hosts such as 10%.` })
  }
}

/** A duration as it was given, once it is sure that it is one. Throws `USAGE` naming the option. */
export function durationText(option: string): (text: string) => string {
  return (text) => {
    parseDurationMs(text, option)
    return text
  }
}

/** A moment: ISO 8601, or a duration before now (`2h`, `7d`). Throws `USAGE` naming the option. */
export function moment(option: string, nowMs: number = Date.now()): (text: string) => Date {
  return (text) => {
    const [, days] = /^(\d{1,6})d$/.exec(text) ?? []
    if (days !== undefined) return new Date(nowMs - Number(days) * 86_400_000)
    if (/^\d+(?:\.\d+)?(?:ms|s|m|h)$/.test(text)) return new Date(nowMs - parseDurationMs(text, option))
    const date = /^\d{4}-\d\d-\d\d/.test(text) ? new Date(text) : new Date(Number.NaN)
    if (!Number.isNaN(date.getTime())) return date
    throw remexError('USAGE', `${option}: ${shown(text)} is no date`, { hint: 'A date is 2026-01-31, 2026-01-31T12:00:00Z, or so long ago: 30m, 2h, 7d.' })
  }
}

/** The fingerprint of a key, in the form in which fingerprints are compared. Throws `USAGE`. */
export function fingerprintText(text: string): string {
  const fingerprint = parseFingerprint(text)
  if (fingerprint !== undefined) return fingerprint
  throw remexError('USAGE', `--fingerprint: ${shown(text)} is no fingerprint`, { hint: 'It begins with SHA256: and has 43 characters more, as ssh-keygen -l prints it.' })
}

/** The id of a run. Throws `USAGE` for what cannot be one. */
export function runIdText(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)) return text
  throw remexError('USAGE', `${shown(text)} is no run id`, { hint: 'Letters, digits, ".", "_" and "-", at most 64, beginning with a letter or digit.' })
}

/** How long ago, as text that the library takes: a duration, or days (`7d`). Throws `USAGE` naming the option. */
export function ageText(option: string): (text: string) => string {
  return (text) => {
    const [, days] = /^(\d{1,6})d$/.exec(text) ?? []
    const age = days === undefined ? text : `${Number(days) * 24}h`
    parseDurationMs(age, option)
    return age
  }
}

/** An argument parser for an option that may be given several times. */
export function collected(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

/** Text of the command line as a message shows it. */
export function shown(text: string): string {
  return JSON.stringify(printable(text.length > 80 ? `${text.slice(0, 79)}…` : text))
}
