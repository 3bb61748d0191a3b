import { readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * Runs `work` while no other process on this machine holds the lock at `path`, then frees it; `onWait` is told,
 * once, who is waited for, and `signal` ends the wait. The lock is a symbolic link that names its holder, so it is made and read in one step, and one whose holder
 * died is taken over. (src/core/file-lock.ts does more; it is not there before the first build.)
 */
export async function withLock(path, work, { onWait, signal }) {
  const us = `${process.pid}.${startOf(process.pid)}`
  let told = false
  while (!claimed(path, us)) {
    const holder = linkTarget(path)
    if (holder === undefined || (isGone(holder) && brokeLock(path, holder, us))) continue
    if (!told) onWait(holder.split('.')[0])
    told = true
    await delay(100, undefined, { signal })
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}

function claimed(path, us) {
  try {
    symlinkSync(us, path)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

/** Removes a dead holder's lock. Under a lock of its own, or the second remover would take the lock of the first. */
function brokeLock(path, holder, us) {
  const breaking = `${path}.break`
  if (!claimed(breaking, us)) {
    const breaker = linkTarget(breaking)
    if (breaker !== undefined && isGone(breaker)) rmSync(breaking, { force: true })
    return false
  }
  if (linkTarget(path) === holder) rmSync(path, { force: true })
  rmSync(breaking, { force: true })
  return true
}

function linkTarget(path) {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

function isGone(holder) {
  const [pid, start] = holder.split('.')
  try {
    process.kill(Number(pid), 0)
  } catch (error) {
    if (error.code === 'ESRCH') return true
  }
  // The pid is there, but it may be another process's by now.
  return start !== '' && startOf(pid) !== '' && startOf(pid) !== start
}

/** When the process started, in ticks since boot; empty without /proc. Source: proc_pid_stat(5), field 22. */
function startOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return ''
  }
}
