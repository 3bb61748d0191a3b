import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import type { Position } from './line.ts'
import type { Signed, Signer, Verifier } from './signing.ts'
import { readSmallFile } from './small-file.ts'

/** The last record that was written, and where it ends: what shows that records were removed from the end. */
export interface Head extends Position {
  /** Size of audit.jsonl up to the end of that record; 0 where the record is the last of the file before it. */
  readonly sizeBytes: number
}

/** A head as it stands in head.json: who signed it, unless it was written by a version that did not sign. */
export interface WrittenHead extends Head {
  readonly signed: Signed | undefined
}

const MAX_HEAD_BYTES = 1024
const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants

/** The head at `path`; undefined where there is none, or none that can be read. */
export function readHead(path: string): WrittenHead | undefined {
  try {
    return parseHead(JSON.parse(readSmallFile(path, { mostBytes: MAX_HEAD_BYTES }) ?? ''))
  } catch {
    return undefined
  }
}

/** Whether the head was signed by that key. */
export function isHeadSigned(head: WrittenHead, verifier: Verifier): boolean {
  return head.signed?.key === verifier.key && verifier.isSigned('head', head, head.signed.signature)
}

function parseHead(value: unknown): WrittenHead | undefined {
  if (typeof value !== 'object' || value === null || !('seq' in value) || !('hash' in value) || !('size_bytes' in value)) return undefined
  const { seq, hash, size_bytes: sizeBytes } = value
  if (!isCount(seq) || !isCount(sizeBytes) || typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) return undefined
  return { seq, hash, sizeBytes, signed: parseSigned(value) }
}

/** The signature in an object that came out of a file; undefined where there is none. */
export function parseSigned(value: object): Signed | undefined {
  if (!('key' in value) || !('signature' in value)) return undefined
  const { key, signature } = value
  return typeof key === 'string' && typeof signature === 'string' ? { key, signature } : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** Every head is as long as any other, so that one takes the place of the one before in a single write. */
const HEAD_BYTES = 384

/**
 * Puts the head, signed, in the place of the one before, without waiting for the disk: after a crash an older head is as
 * good, for the log may be ahead of it. Called under the lock. Written over, not renamed over: file systems wait for the disk
 * at a rename, and one write of a part of a page is not torn by the end of the process.
 */
export function writeHead(path: string, { seq, hash, sizeBytes }: Head, signer: Signer): void {
  const text = JSON.stringify({ seq, hash, size_bytes: sizeBytes, ...signer.sign('head', { seq, hash }) }).padEnd(HEAD_BYTES - 1)
  const file = openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
  try {
    writeSync(file, `${text}\n`, 0)
    if (fstatSync(file).size !== HEAD_BYTES) ftruncateSync(file, HEAD_BYTES)
  } finally {
    closeSync(file)
  }
}
