import { randomBytes } from 'node:crypto'

/**
 * A new run id: time first, so that ids sort by start, then 64 random bits. Letters, digits and `-` only,
 * so that it is one word in every shell, file name and environment.
 */
export function newRunId(now: number): string {
  const time = new Date(now).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').toLowerCase()
  return `${time}-${randomBytes(8).toString('hex')}`
}
