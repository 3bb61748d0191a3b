import { isIPv6 } from 'node:net'
import { MOST_HOSTS } from './imported.ts'

/** What a host pattern of an inventory names. */
export interface HostPattern {
  readonly names: readonly string[]
  readonly port: number | undefined
}

/** Letters in the order in which Ansible counts them: `[x:C]` is x, y, z, A, B, C. */
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** How many ranges one pattern may have. */
const MOST_RANGES = 16

interface Range {
  readonly first: number
  readonly count: number
  readonly step: number
  readonly show: (value: number) => string
}

/**
 * The hosts of `web[01:20:2].example.com`, `db-[a:f]`, `host:2222`, `[::1]:2222`. Throws an `Error` that says what is wrong,
 * also for more than 10,000 hosts.
 */
export function expandHostPattern(pattern: string): HostPattern {
  const { host, port } = splitPort(pattern)
  if (host === '' || host === '---' || (host.endsWith(':') && !isIPv6(host))) throw new Error('this is no host')
  return { names: isIPv6(host) ? [host] : expandRanges(host), port }
}

function splitPort(pattern: string): { host: string; port: number | undefined } {
  const [, address, addressPort] = /^\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\](?::([0-9]{1,5}))?$/.exec(pattern) ?? []
  if (address !== undefined && isIPv6(address)) return { host: address, port: addressPort === undefined ? undefined : Number(addressPort) }
  if (isIPv6(pattern)) return { host: pattern, port: undefined }
  const [, host, port] = /^((?:[^:[\]]|\[[^\]]*\])*):([0-9]{1,5})$/.exec(pattern) ?? []
  return host === undefined ? { host: pattern, port: undefined } : { host, port: Number(port) }
}

function expandRanges(text: string): readonly string[] {
  let names = ['']
  const pieces = text.split(/\[([^\]]*)\]/)
  if (pieces.length > 2 * MOST_RANGES + 1) throw new Error(`more than ${MOST_RANGES} ranges`)
  for (const [index, piece] of pieces.entries()) {
    // What the brackets hold is at the odd places.
    const isRange = index % 2 === 1
    if (!isRange && /[[\]]/.test(piece)) throw new Error('a bracket of a range is missing')
    const values = isRange ? valuesOf(readRange(piece), names.length) : [piece]
    names = names.flatMap((name) => values.map((value) => name + value))
  }
  return names
}

function readRange(text: string): Range {
  const [begin = '', end = '', stepText = '1', ...rest] = text.split(':')
  const step = Number(stepText)
  if (!text.includes(':') || end === '' || rest.length > 0) throw new Error('a range is written [first:last] or [first:last:step]')
  if (!/^\d{1,9}$/.test(stepText) || step < 1) throw new Error('the step of a range is a number from 1')
  const [first, last, show] = boundsOf(begin === '' ? '0' : begin, end)
  return { first, count: Math.max(0, Math.floor((last - first) / step) + 1), step, show }
}

function boundsOf(begin: string, end: string): [number, number, Range['show']] {
  if (/^[A-Za-z]$/.test(begin) && /^[A-Za-z]$/.test(end)) {
    if (LETTERS.indexOf(begin) > LETTERS.indexOf(end)) throw new Error('a range ends before it begins')
    return [LETTERS.indexOf(begin), LETTERS.indexOf(end), (value) => LETTERS.charAt(value)]
  }
  if (!/^\d{1,15}$/.test(begin) || !/^\d{1,15}$/.test(end)) throw new Error('the ends of a range are two numbers or two letters')
  const width = begin.startsWith('0') && begin.length > 1 ? begin.length : 0
  if (width > 0 && width !== end.length) throw new Error('a range with leading zeros has as many digits at both ends')
  return [Number(begin), Number(end), (value) => String(value).padStart(width, '0')]
}

/** Counted before they are made. */
function valuesOf({ first, count, step, show }: Range, times: number): readonly string[] {
  if (count * times > MOST_HOSTS) throw new Error(`this stands for more than ${MOST_HOSTS} hosts`)
  return Array.from({ length: count }, (_, index) => show(first + index * step))
}
