import { RemexError } from '../../core/errors.ts'
import type { TransferAccess } from '../access.ts'
import { assignName } from '../shell-name.ts'
import { BatchReader } from './batch-reader.ts'
import type { Fetched } from './batch-reader.ts'
import type { HostTools } from './host-tools.ts'
import { runWatched } from './watched-run.ts'

/** Files that are fetched together. */
export interface GetBatch {
  /** Absolute. */
  readonly root: Buffer
  /** At most `BATCH_FILES`, of `BATCH_BYTES` in all. `path` is relative to `root`. */
  readonly files: readonly { readonly path: Buffer; readonly sizeBytes: number }[]
  readonly signal: AbortSignal | undefined
  /** Told the content of each file, in bytes, as it has arrived and is verified. */
  readonly onReceived?: ((sizeBytes: number) => void) | undefined
}

/**
 * Fetches files by one command, which prints the SHA-256 of each and then their contents; each content is hashed here too.
 * Null for a file of which that did not come whole and right: it has vanished or another size, is no regular file (a symbolic link
 * in its place is not followed, unless it came in the moment between the look and the reading), cannot be read, or came behind
 * something that could not be understood. Such a file is to be fetched by itself, which tells what is wrong with it.
 * Rejects with `CONNECTION_LOST` and with the signal's reason only.
 */
export async function getBatch(access: TransferAccess, tools: HostTools, batch: GetBatch): Promise<readonly (Fetched | null)[]> {
  const names = batch.files.map(({ path }) => Buffer.concat([Buffer.from('./'), path]))
  const expected = batch.files.map(({ sizeBytes }, index) => ({ name: names[index] ?? Buffer.alloc(0), sizeBytes }))
  const reader = new BatchReader(expected, { hasSizes: tools.sizes !== undefined, onReceived: batch.onReceived })
  if (batch.files.length === 0) return reader.fetched
  const stdin = Buffer.concat(names.flatMap((name) => [name, Buffer.from([0])]))
  try {
    await runWatched(access, getCommand(tools, batch.root), { signal: batch.signal, stdin, take: (chunk) => reader.take(chunk) })
  } catch (error) {
    if (batch.signal?.aborted || (error instanceof RemexError && error.code === 'CONNECTION_LOST')) throw error
  }
  return reader.fetched
}

/**
 * The names come on standard input: any bytes may be in them, and xargs knows how many arguments the host takes at once.
 * So the answer may come in several parts, each with all that belongs to its files.
 */
function getCommand(tools: HostTools, root: Buffer): string {
  return ['LC_ALL=C; export LC_ALL', assignName(root), `cd "$f" && exec xargs -0 /bin/sh -c '${partCommand(tools)}' sh 2>/dev/null`].join('; ')
}

/** Prints a 1 for each file that can be read and a 0 for the others, and then sizes, hashes and contents of those with a 1. */
function partCommand({ checksum, sizes }: HostTools): string {
  const steps = [
    // Whatever is no regular file could hold up cat for ever, or lead out of the tree.
    'm=; for f do if [ -f "$f" ] && [ ! -L "$f" ] && [ -r "$f" ]; then m=${m}1; else m=${m}0; fi; done',
    'echo "remex-batch $m"',
    'case $m in *0*) for f do shift; case $m in 1*) set -- "$@" "$f";; esac; m=${m#?}; done;; esac',
    '[ $# -gt 0 ] || exit 0',
    ...(sizes === undefined ? [] : [`${sizes} "$@"`]),
    `${checksum} "$@"`,
    'cat "$@"',
  ]
  return steps.join('; ')
}
