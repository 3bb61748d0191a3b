import { chmod, mkdir, mkdtemp, rm, statfs } from 'node:fs/promises'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Where the files of a whole run of benchmarks lie. Nothing is removed before its end: ext4 skips inodes that were freed
 * lately, so that making files is up to fifty times slower for minutes after many were deleted.
 */
export interface Workspace extends AsyncDisposable {
  /** On the disk. */
  readonly disk: Area
  /** In memory, where fsync costs nothing and the disk does not disturb; on the disk where there is no room. */
  readonly memory: Area
}

/** A directory that others may pass through, and what is in it. */
export interface Area {
  readonly path: string
  readonly isInMemory: boolean
  /** Bytes that may still be written. */
  freeBytes(): Promise<number>
  /** A new empty directory. `mode`: default 0755. */
  directory(mode?: number): Promise<string>
  /** What `make` puts at the path that it is given; made once for each name. */
  once(name: string, make: (path: string) => Promise<void>): Promise<string>
}

const SHARED_MEMORY = '/dev/shm'
/** For the trees of a whole run. */
const ENOUGH_MEMORY_BYTES = 8e9

/** Makes the directories. */
export async function makeWorkspace(): Promise<Workspace> {
  const disk = await makeArea(tmpdir(), false)
  const memory = (await hasMemory()) ? await makeArea(SHARED_MEMORY, true) : disk
  return {
    disk,
    memory,
    async [Symbol.asyncDispose]() {
      // What was interrupted may still be at work for a moment.
      for (const { path } of [disk, memory]) await rm(path, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

async function hasMemory(): Promise<boolean> {
  const free = await freeBytesOf(SHARED_MEMORY).catch(() => 0)
  return Math.min(free, freemem()) >= ENOUGH_MEMORY_BYTES
}

async function makeArea(parent: string, isInMemory: boolean): Promise<Area> {
  const path = await mkdtemp(join(parent, 'remex-bench-'))
  await chmod(path, 0o755)
  const made = new Map<string, Promise<string>>()
  let count = 0
  const makeOne = async (name: string, make: (path: string) => Promise<void>): Promise<string> => {
    await make(join(path, name))
    return join(path, name)
  }
  return {
    path,
    isInMemory,
    freeBytes: () => freeBytesOf(path),
    directory: async (mode = 0o755) => {
      const own = join(path, `d${++count}`)
      await mkdir(own)
      await chmod(own, mode)
      return own
    },
    once: (name, make) => {
      const before = made.get(name) ?? makeOne(name, make)
      made.set(name, before)
      return before
    },
  }
}

async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}
