import { remexError } from '../../core/errors.ts'
import type { ErrorCode, RemexError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { showPath } from '../path-name.ts'
import type { FieldReader } from './codec.ts'

/** Status codes. Source: draft-ietf-secsh-filexfer-02, section 7. */
export const StatusCode = {
  OK: 0,
  EOF: 1,
  NO_SUCH_FILE: 2,
  PERMISSION_DENIED: 3,
  FAILURE: 4,
  BAD_MESSAGE: 5,
  NO_CONNECTION: 6,
  CONNECTION_LOST: 7,
  OP_UNSUPPORTED: 8,
} as const

/** A STATUS packet. */
export interface SftpStatus {
  readonly code: number
  /** The server's words; empty where it sent none. Untrusted. */
  readonly message: string
}

/** What was asked, for the message of an error: `vm01: cannot <action> <path>`. */
export interface Asked {
  readonly vmId: string
  readonly action: string
  readonly path: Buffer
}

const MAX_MESSAGE_CHARS = 200
const NAMES = new Map<number, string>(Object.entries(StatusCode).map(([name, code]) => [code, name.toLowerCase().replaceAll('_', ' ')]))
const ERROR_CODES = new Map<number, ErrorCode>([
  [StatusCode.NO_SUCH_FILE, 'REMOTE_NOT_FOUND'],
  [StatusCode.PERMISSION_DENIED, 'PERMISSION_DENIED'],
])
const HINTS = new Map<number, string>([
  [StatusCode.BAD_MESSAGE, 'The server did not take the request as it was; a name may be too long for its file system.'],
  [StatusCode.OP_UNSUPPORTED, 'The SFTP server of this host cannot do that.'],
])

/** Reads the rest of a STATUS packet. Old servers leave the message out. */
export function decodeStatus(fields: FieldReader): SftpStatus {
  const code = fields.uint32()
  return { code, message: fields.isAtEnd ? '' : fields.text().toString() }
}

/**
 * The one place where a status becomes an error: `REMOTE_NOT_FOUND`, `PERMISSION_DENIED`, or `TRANSFER_FAILED` with the
 * server's own words. SFTP v3 has no status for a full disk; `statvfs` tells that one (see free-space.ts).
 */
export function statusError(status: SftpStatus, asked: Asked): RemexError {
  const words = printable(status.message.slice(0, MAX_MESSAGE_CHARS)) || (NAMES.get(status.code) ?? `status ${status.code}`)
  const what = `${asked.vmId}: cannot ${asked.action} ${showPath(asked.path)}: ${words}`
  const code = ERROR_CODES.get(status.code) ?? 'TRANSFER_FAILED'
  return remexError(code, what, { vmId: asked.vmId, hint: HINTS.get(status.code) })
}
