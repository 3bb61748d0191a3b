import { randomBytes } from 'node:crypto'
import { existsSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errorCode } from './atomic-file.ts'
import { RemexError } from './errors.ts'
import { formatOwner, isGone, ourselves, parseOwner, type LockOwner } from './lock-owner.ts'
import { printable } from './printable.ts'

/** How a lock is waited for. */
export interface LockOptions {
  /** How long to wait for it, in ms. Default: 10,000. */
  readonly timeoutMs?: number | undefined
}

/**
 * The lock did not become free in time. A room that has a code of its own for that (`AUDIT_UNAVAILABLE`) wraps it;
 * the code it has here is `INTERNAL`, with a hint that says what to do.
 */
export class LockTimeoutError extends RemexError {
  /** The lock's path. */
  readonly path: string
  /** The process that holds it; undefined where what lies there is not a lock of ours. */
  readonly holderPid: number | undefined

  constructor(path: string, timeoutMs: number, holder: LockOwner | undefined) {
    const who = holder ? `process ${holder.pid} on ${holder.host} holds it` : 'what lies there is not a lock that Remex made'
    super('INTERNAL', `no lock on ${printable(path)} within ${timeoutMs} ms: ${who}`, {
      hint: 'Wait for that process to end, then repeat. If it is certain that it is gone, remove the file that is named.',
    })
    this.path = path
    this.holderPid = holder?.pid
  }
}

/** A lock while it is held. */
export interface HeldLock {
  /** Whether another process, or another caller in this one, waits for it. Cheap enough to be asked often. */
  isWanted(): boolean
}

/** A wish to hold one lock: it knows its path, when it gives up, and the name it would hold it under. */
interface Claim {
  readonly path: string
  readonly timeoutMs: number
  /** On the clock of `performance.now()`. */
  readonly deadlineMs: number
  readonly target: string
}

/** The last caller in line for each path in this process, so that a process never spins against itself. */
const lines = new Map<string, Promise<void>>()

/**
 * Runs `work` while this process alone, of all on this machine, holds the lock at `path`; returns what it returns.
 * The lock is freed when `work` settles, and when its holder dies, even by SIGKILL: whoever comes next proves that
 * the holder is gone and takes it. It is a symbolic link, which is made atomically and names its owner; its directory
 * must exist. It does not nest: `work` must not ask for the same path again.
 *
 * A holder on another machine, or in another pid namespace, cannot be proven gone and is waited for.
 * Without /proc (macOS) a process that got the dead holder's pid is taken for it.
 *
 * Rejects with what `work` rejects with, with {@link LockTimeoutError}, or with the system error of a path where no
 * link can be made (ENOENT, EACCES, EROFS, ENOSPC).
 */
export async function withFileLock<T>(path: string, work: (lock: HeldLock) => Promise<T>, options: LockOptions = {}): Promise<T> {
  const claim = claimOf(resolve(path), options.timeoutMs ?? 10_000)
  const line = await joinLine(claim)
  try {
    return await whileHeld(claim, () => work({ isWanted: () => line.isLonger() || existsSync(wantedPath(claim.path)) }))
  } finally {
    line.leave()
  }
}

/** Lies there while a process waits for the lock. One that is left behind only makes holders let go sooner. */
const wantedPath = (path: string): string => `${path}.wanted`

function claimOf(path: string, timeoutMs: number): Claim {
  const target = formatOwner(ourselves(), randomBytes(6).toString('hex'))
  return { path, timeoutMs, deadlineMs: performance.now() + timeoutMs, target }
}

/** Waits until every earlier caller of this process is done. `leave` lets the next one in. */
async function joinLine(claim: Claim): Promise<{ readonly leave: () => void; readonly isLonger: () => boolean }> {
  const previous = lines.get(claim.path)
  const turn: { end: () => void } = { end: () => undefined }
  const ours = new Promise<void>((end) => {
    turn.end = end
  })
  const last = previous ? previous.then(() => ours) : ours
  lines.set(claim.path, last)
  void last.then(() => lines.get(claim.path) === last && lines.delete(claim.path))
  if (!previous || (await settledInTime(previous, claim.deadlineMs))) return { leave: turn.end, isLonger: () => lines.get(claim.path) !== last }
  turn.end()
  throw new LockTimeoutError(claim.path, claim.timeoutMs, ourselves())
}

async function settledInTime(previous: Promise<void>, deadlineMs: number): Promise<boolean> {
  const stop = new AbortController()
  const late = delay(Math.max(0, deadlineMs - performance.now()), false, { signal: stop.signal }).catch(() => false)
  const inTime = await Promise.race([previous.then(() => true), late])
  stop.abort()
  return inTime
}

async function whileHeld<T>(claim: Claim, work: () => Promise<T>): Promise<T> {
  await take(claim)
  try {
    return await work()
  } finally {
    removeLink(claim.path, claim.target)
  }
}

async function take(claim: Claim): Promise<void> {
  let waited = false
  for (let pauseMs = 1; !linked(claim); pauseMs = Math.min(pauseMs * 1.5, 13)) {
    const holder = holderOf(claim.path)
    if (holder?.owner && isGone(holder.owner)) {
      await breakLock(claim, holder.target)
      continue
    }
    if (performance.now() >= claim.deadlineMs) throw new LockTimeoutError(claim.path, claim.timeoutMs, holder?.owner)
    // Jitter keeps waiters from knocking in step; growth keeps many of them from taking the processor.
    if (!holder) continue
    waited = true
    writeFileSync(wantedPath(claim.path), '', { flag: 'a', mode: 0o600 })
    await delay(pauseMs * (0.5 + Math.random()))
  }
  if (waited) rmSync(wantedPath(claim.path), { force: true })
}

/**
 * True when the link is made and the lock is ours. Synchronous, as all calls here: a link takes some 10 µs to make, and ten
 * times as long by way of the thread pool.
 */
function linked(claim: Claim): boolean {
  try {
    symlinkSync(claim.target, claim.path)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  }
}

/** What lies at `path`: undefined for nothing, `owner` undefined for something that is not a lock of ours. */
function holderOf(path: string): { readonly target: string; readonly owner: LockOwner | undefined } | undefined {
  const target = linkTarget(path)
  return target === undefined ? undefined : { target, owner: parseOwner(target) }
}

/** Undefined where nothing is there, empty for what is not a link. */
function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    if (errorCode(error) === 'EINVAL') return ''
    throw error
  }
}

/**
 * Removes the lock of a holder that is gone. Only one process at a time may do so, or the second would remove the lock
 * that the first has just taken; that is a lock like any other, and one whose holder died is broken in the same way.
 */
async function breakLock(claim: Claim, staleTarget: string): Promise<void> {
  await whileHeld({ ...claim, path: `${claim.path}.break` }, () => Promise.resolve(removeLink(claim.path, staleTarget)))
}

/** Removes the lock only while it is that very hold: a lock that somebody else took meanwhile stays. */
function removeLink(path: string, target: string): void {
  if (linkTarget(path) === target) rmSync(path, { force: true })
}
