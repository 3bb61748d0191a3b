import { packet, REPLY, bytes, uint32, BadPacketError } from './sftp-packet.ts'

/** Status codes of SFTP version 3, with the words OpenSSH has for them. Source: draft-ietf-secsh-filexfer-02 section 7. */
export const STATUS = {
  OK: 0, EOF: 1, NO_SUCH_FILE: 2, PERMISSION_DENIED: 3, FAILURE: 4, BAD_MESSAGE: 5, OP_UNSUPPORTED: 8,
} as const

/** A status code of {@link STATUS}. */
export type StatusCode = (typeof STATUS)[keyof typeof STATUS]

const WORDS: Record<StatusCode, string> = {
  0: 'Success', 1: 'End of file', 2: 'No such file', 3: 'Permission denied', 4: 'Failure', 5: 'Bad message', 8: 'Operation unsupported',
}

/** As OpenSSH's errno_to_portable has them; any other errno is a failure. */
const BY_ERRNO: Record<string, StatusCode> = {
  ENOENT: STATUS.NO_SUCH_FILE, ENOTDIR: STATUS.NO_SUCH_FILE, EBADF: STATUS.NO_SUCH_FILE, ELOOP: STATUS.NO_SUCH_FILE,
  EPERM: STATUS.PERMISSION_DENIED, EACCES: STATUS.PERMISSION_DENIED, EFAULT: STATUS.PERMISSION_DENIED,
  ENAMETOOLONG: STATUS.BAD_MESSAGE, EINVAL: STATUS.BAD_MESSAGE, ENOSYS: STATUS.OP_UNSUPPORTED,
}

/** A request that ends with this status. */
export class StatusError extends Error {
  readonly status: StatusCode

  constructor(status: StatusCode) {
    super(WORDS[status])
    this.status = status
  }
}

/** The status packet that answers request `id`. */
export function statusReply(id: number, status: StatusCode): Buffer {
  return packet(REPLY.STATUS, uint32(id), uint32(status), bytes(WORDS[status]), bytes(''))
}

/** The status that an error of a request becomes. Throws again what is no error of the request. */
export function statusOf(error: unknown): StatusCode {
  if (error instanceof StatusError) return error.status
  if (error instanceof BadPacketError) return STATUS.BAD_MESSAGE
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
  return typeof code === 'string' ? (BY_ERRNO[code] ?? STATUS.FAILURE) : STATUS.FAILURE
}
