import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, systemReason } from '../core/atomic-file.ts'
import { remexError, type RemexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** The files of a log, all in its directory. */
export interface AuditFiles {
  readonly directory: string
  /** The newest records, `audit.jsonl`. Older ones are in files beside it, see {@link rotatedName}. */
  readonly log: string
  /** The last record's number and hash, signed, `head.json`. */
  readonly head: string
  /** The lock under which all are written, `audit.lock`. */
  readonly lock: string
  /** Room that is kept for the end of what has begun, `audit.reserve`. */
  readonly reserve: string
  /** The private key that signs, `signing.key`, and its public half, `signing.pub`. */
  readonly signingKey: string
  readonly publicKey: string
}

/** The files of the log in `directory`. */
export function auditFiles(directory: string): AuditFiles {
  const inside = (name: string): string => join(directory, name)
  return {
    directory,
    log: inside('audit.jsonl'),
    head: inside('head.json'),
    lock: inside('audit.lock'),
    reserve: inside('audit.reserve'),
    signingKey: inside('signing.key'),
    publicKey: inside('signing.pub'),
  }
}

/** The name of the file with the records from `firstSeq` on, once another has taken its place: `audit-000000000001.jsonl`. */
export function rotatedName(firstSeq: number): string {
  return `audit-${String(firstSeq).padStart(12, '0')}.jsonl`
}

/** The number that {@link rotatedName} was made of; undefined for any other name. */
export function firstSeqOf(name: string): number | undefined {
  const seq = Number(/^audit-(\d{12,16})\.jsonl$/.exec(name)?.[1])
  return Number.isSafeInteger(seq) && rotatedName(seq) === name ? seq : undefined
}

/** The log at `path` for reading; undefined where there is none. Throws `AUDIT_UNAVAILABLE`. */
export async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await openRegular(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw unreadable(path, error)
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new Error('it is not a regular file')
}

/** The error of a log that cannot be read. */
export function unreadable(path: string, error: unknown): RemexError {
  return remexError('AUDIT_UNAVAILABLE', `the audit log ${printable(path)} cannot be read: ${systemReason(error)}`, {
    cause: error,
    hint: 'Check audit_log_path, and that you may read what is there.',
  })
}
