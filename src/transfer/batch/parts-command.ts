import { RemexError } from '../../core/errors.ts'
import type { TransferAccess } from '../access.ts'
import { assignName } from '../shell-name.ts'
import type { BatchReader } from './batch-reader.ts'
import { runWatched } from './watched-run.ts'

/**
 * Shell text that goes through the files named on standard input, each name with a NUL behind it and relative to `root`: any bytes
 * may be in them, and xargs knows how many arguments the host takes at once. So the answer may come in several parts. Each
 * begins with a line that has a 1 for every file of the part that can be read and a 0 for the others; then comes what each of
 * `steps` prints when it is given those with a 1.
 */
export function partsCommand(root: Buffer, steps: readonly string[]): string {
  const part = [
    // Whatever is no regular file could hold up the reader for ever, or lead out of the tree.
    'm=; for f do if [ -f "$f" ] && [ ! -L "$f" ] && [ -r "$f" ]; then m=${m}1; else m=${m}0; fi; done',
    'echo "remex-batch $m"',
    'case $m in *0*) for f do shift; case $m in 1*) set -- "$@" "$f";; esac; m=${m#?}; done;; esac',
    '[ $# -gt 0 ] || exit 0',
    ...steps.map((step) => `${step} "$@"`),
  ]
  const all = `cd "$f" && exec xargs -0 /bin/sh -c '${part.join('; ')}' sh 2>/dev/null`
  return ['LC_ALL=C; export LC_ALL', assignName(root), all].join('; ')
}

/** A file as the host's tools are given it: a name that begins with a dash is no option then. */
export function batchName(path: Buffer): Buffer {
  return Buffer.concat([Buffer.from('./'), path])
}

/** Who is asked for, and who listens. */
export interface PartsReading {
  readonly names: readonly Buffer[]
  readonly reader: BatchReader
  readonly signal: AbortSignal | undefined
}

/** Runs `text` for `names`. What came is in `reader`. Rejects with `CONNECTION_LOST` and with the signal's reason only. */
export async function readParts(access: TransferAccess, text: string, { names, reader, signal }: PartsReading): Promise<void> {
  const end = Buffer.from([0])
  const stdin = Buffer.concat(names.flatMap((name) => [name, end]))
  try {
    await runWatched(access, text, { signal, stdin, take: (chunk) => reader.take(chunk) })
  } catch (error) {
    if (signal?.aborted || (error instanceof RemexError && error.code === 'CONNECTION_LOST')) throw error
  }
}
