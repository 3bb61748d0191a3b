import { readdirSync, readFileSync } from 'node:fs'

/** A look at the memory of a process, again and again. */
export interface MemoryWatch {
  /** The most that was there at one time, in bytes; undefined without /proc. */
  readonly peakBytes: () => number | undefined
  readonly stop: () => void
}

const WATCH_EVERY_MS = 10
/** A look at a tree of thirty takes some milliseconds itself. */
const WATCH_TREE_EVERY_MS = 10

/** Watches the process alone, by its high-water mark. */
export function watchProcess(pid: number | undefined): MemoryWatch {
  return watch(WATCH_EVERY_MS, () => highWaterBytes(pid))
}

/**
 * Watches the process and all that it starts. Memory that they share, as libraries, is counted once: as that of the one that
 * shares the most. For a process that starts nothing it is what {@link watchProcess} says.
 */
export function watchTree(pid: number | undefined): MemoryWatch {
  return watch(WATCH_TREE_EVERY_MS, () => {
    const own = highWaterBytes(pid)
    if (pid === undefined || own === undefined) return undefined
    const all = descendants(pid).map(residentOf)
    return Math.max(own, all.reduce((sum, { privateBytes }) => sum + privateBytes, 0) + Math.max(...all.map(({ sharedBytes }) => sharedBytes)))
  })
}

function watch(everyMs: number, bytesNow: () => number | undefined): MemoryWatch {
  let peak: number | undefined
  const look = (): void => {
    const now = bytesNow()
    if (now !== undefined) peak = Math.max(now, peak ?? 0)
  }
  // What ends soon is seen at least once.
  look()
  const timer = setInterval(look, everyMs)
  return { peakBytes: () => peak, stop: () => clearInterval(timer) }
}

/** The kernel keeps the highest value, so looking late loses nothing while the process is there. Source: proc_pid_status(5). */
function highWaterBytes(pid: number | undefined): number | undefined {
  const kilobytes = /^VmHWM:\s*(\d+) kB$/m.exec(textOf(`/proc/${pid}/status`))?.[1]
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
}

/** The process and all below it. Source: proc_tid_children(5). */
function descendants(pid: number): readonly number[] {
  const children = threadsOf(pid).flatMap((thread) => textOf(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number))
  return [pid, ...children.flatMap(descendants)]
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

function residentOf(pid: number): { readonly privateBytes: number; readonly sharedBytes: number } {
  const sums = { Private: 0, Shared: 0 }
  for (const [, kind, kilobytes] of textOf(`/proc/${pid}/smaps_rollup`).matchAll(/^(Private|Shared)_(?:Clean|Dirty):\s*(\d+) kB$/gm)) {
    if (kind === 'Private' || kind === 'Shared') sums[kind] += Number(kilobytes) * 1024
  }
  return { privateBytes: sums.Private, sharedBytes: sums.Shared }
}

/** Empty for what has ended meanwhile. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
