import { hash } from 'node:crypto'
import { quoteWord } from '../../core/quote.ts'
import { RemexError } from '../../core/errors.ts'
import type { TransferAccess } from '../access.ts'
import { tarStream } from './tar.ts'
import { runWatched } from './watched-run.ts'

/** What batches use of a host. */
export interface HostTools {
  /** What the login's umask takes away from the mode of new files. */
  readonly umask: number
  /** Shell words before the names of files: prints SHA-256 and name of each, in their order. */
  readonly checksum: string
  /** Shell words that put on disk what lies in the working directory. */
  readonly sync: string
  /** Shell words before the names of files: prints the size of each in bytes, in their order. Undefined where nothing does. */
  readonly sizes: string | undefined
}

/** In the order in which they are tried. For many small files the start of the tool counts, where OpenSSL is the slowest. */
const CHECKSUMS = ['sha256sum', 'busybox sha256sum', 'shasum -a 256', 'openssl dgst -sha256 -r', 'sha256 -r']
/** The first puts the one file system on disk. */
const SYNCS = ['sync -f .', 'sync']
const SIZES = ['stat -c %s', 'stat -f %z']
const NEEDED = ['mkdir', 'tar', 'chmod', 'rm', 'cat', 'xargs']

const PROBE = 'remex'
const ANSWER = /^remex-tools ([0-7]{1,4}) (\d) (\d) (\d)$/m
const MOST_OUTPUT_BYTES = 64 * 1024

/**
 * What the host has for batches, found by one command that tries each tool on known input. Null where there is no shell, or
 * something is missing or answers wrongly. Rejects with `CONNECTION_LOST` and with the signal's reason only.
 */
export async function findHostTools(access: TransferAccess, signal: AbortSignal | undefined): Promise<HostTools | null> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  const take = (chunk: Buffer): boolean => {
    chunks.push(chunk)
    return (sizeBytes += chunk.length) <= MOST_OUTPUT_BYTES
  }
  try {
    const stdin = tarStream([{ name: '0', content: Buffer.from(PROBE), mode: 0o600, mtime: 1 }])
    const output = await runWatched(access, TOOLS_COMMAND, { signal, stdin, take })
    return output?.exitCode === 0 ? parse(Buffer.concat(chunks).toString('latin1')) : null
  } catch (error) {
    if (signal?.aborted || (error instanceof RemexError && error.code === 'CONNECTION_LOST')) throw error
    return null
  }
}

function parse(said: string): HostTools | null {
  const [, umask = '', ...indexes] = ANSWER.exec(said) ?? []
  const [checksum, sync, sizes] = [CHECKSUMS, SYNCS, SIZES].map((tools, index) => tools[Number(indexes[index])])
  if (checksum === undefined || sync === undefined) return null
  return { umask: Number.parseInt(umask, 8) & 0o777, checksum, sync, sizes }
}

/** What a tool must print of two files, of which one is empty and the other has {@link PROBE}; `?` is the line feed between. */
const HASHES = `${hash('sha256', '')}" "*/dev/null?${hash('sha256', PROBE)}" "*/dev/stdin`

/** Standard input is an archive of one file with the content {@link PROBE}. */
const TOOLS_COMMAND = [
  'exec 2>/dev/null',
  'LC_ALL=C; export LC_ALL',
  `for t in ${NEEDED.join(' ')}; do command -v $t >/dev/null || exit 1; done`,
  `[ "$(tar -xOf -)" = ${PROBE} ] || exit 1`,
  `[ "$(printf 'a b\\0c\\0' | xargs -0 /bin/sh -c 'echo $#' sh)" = 2 ] || exit 1`,
  tryEach(CHECKSUMS, `case $(printf ${PROBE} | $t /dev/null /dev/stdin) in ${HASHES}) break;; esac`),
  'c=$n',
  // Only asked whether it knows the option, of a file system that has nothing to write.
  'if sync -f /dev/null; then y=0; else command -v sync >/dev/null || exit 1; y=1; fi',
  tryEach(SIZES, '[ "$($t /dev/null)" != 0 ] || break'),
  'echo "remex-tools $(umask) $c $y $n"',
].join('; ')

/** Shell text that sets `n` to the place of the first of `tools` for which `test` breaks the loop, else to their number. */
function tryEach(tools: readonly string[], test: string): string {
  return `n=0; for t in ${tools.map(quoteWord).join(' ')}; do ${test}; n=$((n+1)); done`
}
