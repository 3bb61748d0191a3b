import type { Readable } from 'node:stream'
import { throwIfAborted } from '../abort.ts'
import type { CommandOutput, TransferAccess } from '../access.ts'

/** What a command of a batch gets, and who listens. */
export interface WatchedInput {
  readonly signal: AbortSignal | undefined
  readonly stdin: Buffer | Readable
  /** Gets standard output as it arrives. False: nothing more can be of use, and the command is ended. */
  readonly take: (chunk: Buffer) => boolean
}

/** Complaints beyond this are no complaints. */
const MOST_STDERR_BYTES = 1024 * 1024

/**
 * Runs shell text on the host, and ends it where it says too much: resolves with null then.
 * Rejects with the signal's reason, and as {@link TransferAccess.run} does.
 */
export async function runWatched(access: TransferAccess, text: string, watched: WatchedInput): Promise<CommandOutput | null> {
  const { signal, stdin, take } = watched
  throwIfAborted(signal)
  const enough = new AbortController()
  let stderrBytes = 0
  const onOutput = (stream: 'stdout' | 'stderr', chunk: Buffer): void => {
    if (enough.signal.aborted) return
    if (stream === 'stderr') stderrBytes += chunk.length
    if (stream === 'stderr' ? stderrBytes > MOST_STDERR_BYTES : !take(chunk)) enough.abort()
  }
  try {
    const either = signal === undefined ? enough.signal : AbortSignal.any([signal, enough.signal])
    const output = await access.run(text, { stdin, onOutput, signal: either })
    return enough.signal.aborted ? null : output
  } catch (error) {
    throwIfAborted(signal)
    if (enough.signal.aborted) return null
    throw error
  }
}
