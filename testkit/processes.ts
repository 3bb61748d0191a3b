import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** A process of this machine, as far as the kit looks. Source: proc(5). */
interface ProcessRow {
  readonly pid: number
  readonly parentPid: number
  readonly uid: number
}

/** Which processes are meant. */
export interface ProcessFilter {
  /** These and all their descendants. */
  readonly roots?: readonly number[]
  /** All that have this `NAME=value` in their environment. */
  readonly marker?: string
  /** All of this (temporary) user. */
  readonly uid?: number
}

/** So many looks in a row that find nothing are believed. */
const QUIET_LOOKS = 3

/**
 * Ends every process that the filter names with KILL, by its id, until none is left: what they start meanwhile too.
 * Never touches this process. Without /proc only `roots` themselves are ended. Gives up after 5 s by throwing.
 */
export async function endProcesses(filter: ProcessFilter): Promise<void> {
  let roots = filter.roots ?? []
  // A process that is started while we look may be missed, and for a moment of exec it shows no environment: one look is not enough.
  const quietLooks = filter.marker === undefined && filter.uid === undefined ? 1 : QUIET_LOOKS
  let quiet = 0
  for (let attempt = 0; attempt < 250; attempt++) {
    // What was found stays named: when a parent dies first, its children have another one.
    roots = findProcesses({ ...filter, roots })
    quiet = roots.length === 0 ? quiet + 1 : 0
    if (quiet === quietLooks) return
    for (const pid of roots) signalProcess(pid, 'SIGKILL')
    await delay(quiet > 0 ? 10 : 20)
  }
  throw new Error(`processes do not end: ${roots.join(' ')}`)
}

/** Ids of the live processes that the filter names. Zombies do not count. */
export function findProcesses({ roots = [], marker, uid }: ProcessFilter): number[] {
  const rows = liveProcesses()
  if (rows === undefined) return roots.filter((pid) => signalProcess(pid, 0))
  const wanted = new Set(withDescendants(rows, roots))
  for (const row of rows) {
    if (row.uid === uid || (marker !== undefined && hasInEnvironment(row.pid, marker))) wanted.add(row.pid)
  }
  wanted.delete(process.pid)
  return [...wanted]
}

/** Sends a signal; a negative id means the group. False when there is no such process. */
export function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

function withDescendants(rows: readonly ProcessRow[], roots: readonly number[]): number[] {
  const live = new Set(rows.map((row) => row.pid))
  const found = roots.filter((pid) => live.has(pid))
  for (const parent of found) {
    for (const row of rows) if (row.parentPid === parent && !found.includes(row.pid)) found.push(row.pid)
  }
  return found
}

function liveProcesses(): ProcessRow[] | undefined {
  const names = ifThere(() => readdirSync('/proc'))
  if (!names?.includes('self')) return undefined
  return names.filter((name) => /^\d+$/.test(name)).map(readRow).filter((row) => row !== undefined)
}

function readRow(pid: string): ProcessRow | undefined {
  const status = ifThere(() => readFileSync(`/proc/${pid}/status`, 'latin1'))
  const match = /^State:\s*(\S)[^]*^PPid:\s*(\d+)[^]*^Uid:\s*(\d+)/m.exec(status ?? '')
  if (!match || match[1] === 'Z' || match[1] === 'X') return undefined
  return { pid: Number(pid), parentPid: Number(match[2]), uid: Number(match[3]) }
}

function hasInEnvironment(pid: number, entry: string): boolean {
  const environment = ifThere(() => readFileSync(`/proc/${pid}/environ`, 'utf8'))
  return environment?.split('\0').includes(entry) ?? false
}

/** Processes end while they are looked at, and some belong to others. /proc is memory: reading it in step costs less than waiting. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
