import { randomUUID } from 'node:crypto'

/**
 * A new run id: time first, so that ids sort by start, then 62 random bits. Letters, digits and `-` only,
 * so that it is one word in every shell, file name and environment.
 */
export function newRunId(now: number): string {
  const time = new Date(now).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').toLowerCase()
  // The last two groups of a UUID: Node keeps random bytes ready for these, which is ten times as fast as asking for some.
  return `${time}-${randomUUID().slice(19).replace('-', '')}`
}
