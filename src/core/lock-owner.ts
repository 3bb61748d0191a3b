import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { errorCode } from './atomic-file.ts'

/** A process that holds a lock, known well enough to tell whether it is still that one. */
export interface LockOwner {
  readonly host: string
  /** Kernel boot, pid namespace and start time of the process; `-` on systems without /proc. */
  readonly boot: string
  readonly namespace: string
  readonly start: string
  readonly pid: number
}

/** This process as the owner of a lock. */
export function ourselves(): LockOwner {
  return {
    host: encodeURIComponent(hostname()) || '-',
    boot: factOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()),
    namespace: factOf(() => readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')),
    start: factOf(() => parseStat(readFileSync('/proc/self/stat', 'latin1'))?.start),
    pid: process.pid,
  }
}

/** The text that a lock holds: its owner, and `nonce`, which tells two holds by one process apart. */
export function formatOwner({ host, boot, namespace, start, pid }: LockOwner, nonce: string): string {
  return ['remex', host, boot, namespace, start, pid, nonce].join(':')
}

/** The owner that {@link formatOwner} wrote; undefined for any other text. */
export function parseOwner(target: string): LockOwner | undefined {
  const [mark, host, boot, namespace, start, pid, nonce, more] = target.split(':')
  if (mark !== 'remex' || !host || !boot || !namespace || !start || !nonce || more !== undefined) return undefined
  if (!/^[1-9]\d{0,9}$/.test(pid ?? '')) return undefined
  return { host, boot, namespace, start, pid: Number(pid) }
}

/**
 * Whether it is proven that the owner is gone: the machine was started anew since, no such process is there, another one
 * has its pid, or nothing of it runs any more. False where it cannot be told: another machine, another pid namespace.
 */
export function isGone(owner: LockOwner): boolean {
  const self = ourselves()
  // The kernel's boot id is random, so an equal one is this machine, whatever it calls itself by now.
  const sameBoot = owner.boot === self.boot && self.boot !== '-'
  if (!sameBoot && owner.host !== self.host) return false
  if (!sameBoot && owner.boot !== self.boot) return owner.boot !== '-' && self.boot !== '-'
  if (owner.namespace !== self.namespace) return false
  if (!processExists(owner.pid)) return true
  const stat = parseStat(factOf(() => readFileSync(`/proc/${owner.pid}/stat`, 'latin1')))
  // Not readable: another user's process under hidepid, or no /proc at all. It exists, and that is all we know.
  if (!stat || owner.start === '-') return false
  return stat.start !== owner.start || stat.ended
}

/** Signal 0 only asks. EPERM: it is there and another user's. */
function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errorCode(error) !== 'ESRCH'
  }
}

/**
 * Start time in clock ticks since boot, and whether nothing of the process runs any more: a zombie whose last thread
 * is the one that waits to be reaped; while others are left, one may still be inside a write.
 * Source: proc_pid_stat(5), fields 3, 20 and 22; the name in field 2 may hold spaces and parentheses.
 */
function parseStat(text: string): { readonly start: string; readonly ended: boolean } | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, threads, start] = [fields[0], fields[17], fields[19]]
  if (!state || !threads || !start) return undefined
  return { start, ended: 'ZX'.includes(state) && Number(threads) <= 1 }
}

function factOf(read: () => string | undefined): string {
  try {
    return read() || '-'
  } catch {
    return '-'
  }
}
