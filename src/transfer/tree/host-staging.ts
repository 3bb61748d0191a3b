import { joinPath } from '../path-name.ts'
import { isNotFound } from '../remote-side.ts'
import { fileKind } from '../sftp/attributes.ts'
import type { DirectoryEntry } from '../sftp/attributes.ts'
import type { SftpClient } from '../sftp/client.ts'
import { eachOf } from './each-of.ts'
import type { StagingEnd } from './staging.ts'

const REMOVALS_AT_ONCE = 64
/** Removing what is left there may go on for so long after the transfer itself was ended. */
const CLEAN_UP_MS = 5000

/** How a {@link StagingPlace} is made on a host. */
export function hostStaging(sftp: SftpClient): StagingEnd {
  return {
    make: (directory) => sftp.mkdir(directory, { mode: 0o700 }),
    removeEmpty: (directory) => sftp.rmdir(directory),
    removeAll: (directory) => removeAll(sftp.under(AbortSignal.timeout(CLEAN_UP_MS)), directory),
  }
}

async function removeAll(sftp: SftpClient, directory: Buffer): Promise<void> {
  const entries = await entriesOf(sftp, directory)
  if (entries === null) return
  await eachOf(entries, REMOVALS_AT_ONCE, ({ name, attributes }) => {
    const path = joinPath(directory, name)
    return fileKind(attributes) === 'directory' ? removeAll(sftp, path) : sftp.remove(path)
  })
  await sftp.rmdir(directory)
}

/** Null where there is no such directory. Names that could lead out of it are left out; then it cannot be removed, and says so. */
async function entriesOf(sftp: SftpClient, directory: Buffer): Promise<DirectoryEntry[] | null> {
  const opened = await sftp.opendir(directory).catch((error: unknown) => {
    if (isNotFound(error)) return null
    throw error
  })
  if (opened === null) return null
  const entries: DirectoryEntry[] = []
  for (let more = await sftp.readdir(opened); more !== null; more = await sftp.readdir(opened)) entries.push(...more)
  await sftp.close(opened)
  return entries.filter(({ name }) => !name.includes('/') && !['', '.', '..'].includes(name.toString('latin1')))
}
