import { closeSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs'
import type { Position } from './line.ts'

/** The last record that was written, and where it ends: what shows that records were removed from the end. */
export interface Head extends Position {
  /** Size of the log up to the end of that record. */
  readonly sizeBytes: number
}

const MAX_HEAD_BYTES = 1024

/** The head at `path`; undefined where there is none, or none that can be read. */
export function readHead(path: string): Head | undefined {
  try {
    return parseHead(JSON.parse(beginningOf(path)))
  } catch {
    return undefined
  }
}

function beginningOf(path: string): string {
  const file = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(MAX_HEAD_BYTES)
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, MAX_HEAD_BYTES, 0))
  } finally {
    closeSync(file)
  }
}

function parseHead(value: unknown): Head | undefined {
  if (typeof value !== 'object' || value === null || !('seq' in value) || !('hash' in value) || !('size_bytes' in value)) return undefined
  const { seq, hash, size_bytes: sizeBytes } = value
  if (!isCount(seq) || !isCount(sizeBytes) || typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) return undefined
  return { seq, hash, sizeBytes }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/**
 * Replaces the head as one step, without waiting for the disk: after a crash an older head is as good, for the log may be
 * ahead of it. Called under the lock. Synchronous, because through the thread pool it takes ten times as long.
 */
export function writeHead(path: string, { seq, hash, sizeBytes }: Head): void {
  const temporary = `${path}.tmp`
  writeFileSync(temporary, `${JSON.stringify({ seq, hash, size_bytes: sizeBytes })}\n`, { mode: 0o600 })
  renameSync(temporary, path)
}
