import { inspect } from 'node:util'
import { remexError } from './errors.ts'

/** `500ms`, `30s`, `5m`, `2h`, a bare number of seconds, or `none`. */
export type Duration = string | number

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
/** The longest wait a Node timer keeps, 2^31-1 ms: about 24 days. */
const LONGEST_MS = 2_147_483_647

/**
 * The milliseconds that `duration` stands for; `Infinity` for `none`.
 * Throws `USAGE` naming `what` for anything that is not a duration, or is longer than 24 days.
 */
export function parseDurationMs(duration: Duration, what = 'duration'): number {
  if (duration === 'none') return Infinity
  const durationMs = typeof duration === 'number' ? duration * 1000 : textMs(duration)
  if (durationMs === undefined || !Number.isFinite(durationMs) || durationMs < 0) {
    throw remexError('USAGE', `${what}: ${inspect(duration, { maxStringLength: 40, depth: 0 })} is not a duration`, {
      hint: 'A duration is 500ms, 30s, 5m, 2h, a number of seconds, or none.',
    })
  }
  if (durationMs > LONGEST_MS) throw remexError('USAGE', `${what}: ${duration} is longer than 24 days`, { hint: 'Use none for no limit.' })
  return durationMs
}

function textMs(text: unknown): number | undefined {
  if (typeof text !== 'string') return undefined
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim())
  if (!match?.[1]) return undefined
  return Number(match[1]) * (UNIT_MS[match[2] ?? 's'] ?? Number.NaN)
}

/** The shortest text for a number of milliseconds: `500ms`, `30s`, `none`. */
export function formatDurationMs(durationMs: number): string {
  if (durationMs === Infinity) return 'none'
  if (durationMs < 1000 || durationMs % 100 !== 0) return `${Math.round(durationMs)}ms`
  return `${durationMs / 1000}s`
}
