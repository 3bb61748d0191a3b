import { lchown, lstat, stat } from 'node:fs/promises'

/**
 * Root may add to another user's log, as when it approves what they ask for. What it makes there has to be theirs like the
 * rest, or they could not go on. Does nothing for anyone else, and for files that are not there.
 */
export async function giveToOwner(directory: string, paths: readonly string[]): Promise<void> {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = await stat(directory)
  if (uid === 0) return
  for (const path of paths) {
    const found = await lstat(path).catch(() => undefined)
    if (found && found.uid !== uid) await lchown(path, uid, gid)
  }
}
