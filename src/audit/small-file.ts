import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { errorCode } from '../core/atomic-file.ts'

/** What is asked of a small file besides its text. */
export interface SmallFileOptions {
  readonly mostBytes: number
  /** May throw for what it is, before anything of it is read. */
  readonly accept?: (stats: Stats) => void
  readonly followsLinks?: boolean
}

const { O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/**
 * The text of a small file beside the log; undefined where there is none. A FIFO or a device that lies in its place is not
 * waited for. Synchronous, for under the lock it is read often, and by way of the thread pool ten times as long.
 * Throws the system's error, and for what is no regular file or larger than `mostBytes`.
 */
export function readSmallFile(path: string, { mostBytes, accept, followsLinks = true }: SmallFileOptions): string | undefined {
  let file: number
  try {
    // Without O_NONBLOCK, opening a FIFO waits until somebody writes to it.
    file = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | (followsLinks ? 0 : O_NOFOLLOW))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const stats = fstatSync(file)
    if (!stats.isFile()) throw new Error('it is not a regular file')
    accept?.(stats)
    const bytes = Buffer.alloc(mostBytes + 1)
    const length = readSync(file, bytes, 0, bytes.length, 0)
    if (length > mostBytes) throw new Error(`it is larger than ${mostBytes} bytes`)
    return bytes.toString('utf8', 0, length)
  } finally {
    closeSync(file)
  }
}
