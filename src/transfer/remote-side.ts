import { RemexError, remexError } from '../core/errors.ts'
import { showPath } from './path-name.ts'
import { fileKind } from './sftp/attributes.ts'
import type { FileAttributes } from './sftp/attributes.ts'
import type { SftpClient } from './sftp/client.ts'
import type { Entry, Side } from './target.ts'

/** The host's end, for finding the target of an upload. */
export function remoteSide(sftp: SftpClient): Side {
  const missing = (directory: Buffer): RemexError => missingDirectory(sftp, directory)
  return {
    prefix: `${sftp.vmId}: `,
    stat: (path) => entryOrNull(sftp.stat(path)),
    lstat: (path) => entryOrNull(sftp.lstat(path)),
    realpath: (path) => sftp.realpath(path).catch((error: unknown) => {
      throw isNotFound(error) ? missing(path) : error
    }),
    missing,
  }
}

/** The error for a target directory that is not on the host. */
export function missingDirectory(sftp: SftpClient, directory: Buffer): RemexError {
  return remexError('REMOTE_NOT_FOUND', `${sftp.vmId}: the directory ${showPath(directory)} is not there`, {
    vmId: sftp.vmId,
    hint: 'Make it first; directories are not made for you.',
  })
}

/** Whether `error` says that something is not on the host. */
export function isNotFound(error: unknown): boolean {
  return error instanceof RemexError && error.code === 'REMOTE_NOT_FOUND'
}

async function entryOrNull(asked: Promise<FileAttributes>): Promise<Entry | null> {
  try {
    const attributes = await asked
    return { kind: fileKind(attributes), mode: attributes.mode, sizeBytes: attributes.sizeBytes }
  } catch (error) {
    if (isNotFound(error)) return null
    throw error
  }
}
