import type { FileHandle } from 'node:fs/promises'
import { ChainCheck } from './chain-check.ts'
import { auditFiles, openLog, unreadable } from './files.ts'
import { readHead } from './head.ts'
import { readLines } from './line-reader.ts'
import type { AuditVerdict } from './verdict.ts'

/**
 * Verifies the log in `directory`: every record's hash, that each follows the one before, and that the end is the one
 * that was last written. Reads the file once, in bounded memory. Writers may be at work. An empty log, or none, is right.
 * Throws `AUDIT_UNAVAILABLE` for one that cannot be read.
 */
export async function verifyAudit(directory: string): Promise<AuditVerdict> {
  const files = auditFiles(directory)
  // First the head, then the log: what is written meanwhile makes the log longer, never shorter than its head.
  const check = new ChainCheck(readHead(files.head))
  const log = await openLog(files.log)
  if (!log) return check.end(0)
  try {
    return await checked(log, check)
  } catch (error) {
    throw unreadable(files.log, error)
  } finally {
    await log.close()
  }
}

async function checked(log: FileHandle, check: ChainCheck): Promise<AuditVerdict> {
  let endOffset = 0
  for await (const lines of readLines(log)) {
    for (const line of lines) {
      endOffset = line.endOffset
      const fault = check.add(line.bytes)
      if (fault) return { ok: false, ...fault }
    }
  }
  const { size } = await log.stat()
  return check.end(Math.max(0, size - endOffset))
}
