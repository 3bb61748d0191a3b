import { createHash } from 'node:crypto'
import { PassThrough, type Readable } from 'node:stream'
import { RemexError, remexError } from '../core/errors.ts'
import { quoteWord } from '../core/quote.ts'
import type { TransferAccess } from './access.ts'
import { throwIfAborted } from './abort.ts'
import { showPath } from './path-name.ts'
import { readAll } from './pipeline.ts'
import { assignName } from './shell-name.ts'
import { OpenFlag } from './sftp/client.ts'
import type { SftpClient } from './sftp/client.ts'

/** The two ways to a host's bytes: its shell, and SFTP. */
export interface ChecksumPaths {
  readonly access: TransferAccess
  readonly sftp: SftpClient
  readonly signal: AbortSignal | undefined
}

/** A file on the host. */
export interface ChecksumFile {
  /** Absolute, so that shell and SFTP mean the same file. */
  readonly path: Buffer
  /** What is expected; only a hint for the speed of reading it back. */
  readonly sizeBytes: number
}

/**
 * SHA-256 of a file on the host, hexadecimal: by the fastest tool that the host has, else by reading the file back over SFTP.
 * Rejects with `CHECKSUM_UNAVAILABLE` when neither works (never a pass), `CONNECTION_LOST`, or the signal's reason.
 */
export async function remoteSha256(paths: ChecksumPaths, file: ChecksumFile): Promise<string> {
  const [found] = await askHashes(paths, checksumCommand(file.path))
  return found ?? sha256ByReading(paths, file)
}

/** What the host's file is to be. */
export interface Expected extends ChecksumFile {
  /** Hexadecimal. */
  readonly sha256: string
  /** The host's, where it was asked for before. */
  readonly known?: string | undefined
  /** Whether a file that has become longer is right when it begins with the expected content. */
  readonly mayHaveGrown?: boolean
  /** What to do when it is another. */
  readonly hint?: string
}

/** Rejects with `CHECKSUM_MISMATCH` when the host's file is not the one that is expected, and as {@link remoteSha256} does. */
export async function assertRemoteSha256(paths: ChecksumPaths, expected: Expected): Promise<void> {
  const found = expected.known ?? (await remoteSha256(paths, expected))
  if (found === expected.sha256) return
  if (expected.mayHaveGrown && (await sha256OfStart(paths, expected)) === expected.sha256) return
  const { vmId } = paths.access
  const what = `${vmId}: SHA-256 of ${showPath(expected.path)} is ${found} there, but ${expected.sha256} here`
  throw remexError('CHECKSUM_MISMATCH', what, { vmId, hint: expected.hint })
}

/** A hash that the host stands ready to compute. Dispose it: then a command that was never told to begin ends. */
export interface ReadyHash extends Disposable {
  /** Tells it to begin; resolves with the hash, or undefined where the host cannot. Rejects as {@link askHashes} does. */
  now(): Promise<string | undefined>
}

/** Starts the command that hashes a file of the host before there is anything to hash, so that its start costs no time later. */
export function readyHash({ access, signal }: Pick<ChecksumPaths, 'access' | 'signal'>, path: Buffer): ReadyHash {
  const gate = new PassThrough()
  const asked = askHashes({ access, signal }, `read -r go || exit 1; ${checksumCommand(path)}`, gate)
  asked.catch(() => undefined)
  return {
    now: async () => {
      gate.end('go\n')
      return (await asked)[0]
    },
    [Symbol.dispose]: () => void gate.end(),
  }
}

/** Fastest first: OpenSSL uses the processor's SHA instructions, where coreutils may not (0.2 s against 0.75 s for 256 MB). */
const TOOLS = ['openssl dgst -sha256', 'sha256sum', 'shasum -a 256', 'busybox sha256sum', 'sha256']
const ANSWER = /^remex-sha256 ([0-9a-f]{64})$/gm

/**
 * Shell text that prints `remex-sha256 <64 hex digits>` for the file, by the first tool that is there and gives such digits.
 * The file is every tool's standard input, so that no tool sees its name: a name may look like an option,
 * and coreutils escapes its output for names with a newline or a backslash.
 */
export function checksumCommand(path: Buffer): string {
  return [
    'LC_ALL=C; export LC_ALL',
    assignName(path),
    `for t in ${TOOLS.map(quoteWord).join(' ')}; do s=$($t 2>/dev/null <"$f") || continue`,
    's=${s##*= }; s=${s%% *}; case $s in *[!0-9a-f]*) continue;; esac',
    'if [ ${#s} -eq 64 ]; then echo "remex-sha256 $s"; exit 0; fi; done; exit 1',
  ].join('; ')
}

/**
 * Shell text that finds a tool which hashes rightly, or ends; `h` then prints the SHA-256 of its standard input, in the
 * form that {@link askHashes} reads.
 */
export const PICK_TOOL = [
  'LC_ALL=C; export LC_ALL',
  `for t in ${TOOLS.map(quoteWord).join(' ')} ''; do case $($t 2>/dev/null </dev/null) in *${createHash('sha256').digest('hex')}*) break;; esac; done`,
  '[ -n "$t" ] || exit 1',
  'h() { s=$($t 2>/dev/null) || exit 1; s=${s##*= }; echo "remex-sha256 ${s%% *}"; }',
].join('; ')

/**
 * The hashes that `command` prints, in its order; none where the host has no shell or the command fails.
 * Rejects with `CONNECTION_LOST` and with the signal's reason.
 */
export async function askHashes({ access, signal }: Pick<ChecksumPaths, 'access' | 'signal'>, command: string, stdin?: Readable): Promise<string[]> {
  try {
    const { exitCode, stdout } = await access.run(command, { signal, stdin })
    return exitCode === 0 ? [...stdout.toString('latin1').matchAll(ANSWER)].map(([, hash = '']) => hash) : []
  } catch (error) {
    throwIfAborted(signal)
    if (error instanceof RemexError && error.code === 'CONNECTION_LOST') throw error
    return []
  }
}

/** SHA-256 of the first `sizeBytes` of a file that is longer by now; undefined where it is not, or the host cannot hash. */
async function sha256OfStart(paths: ChecksumPaths, { path, sizeBytes }: ChecksumFile): Promise<string | undefined> {
  const now = await paths.sftp.stat(path).catch(() => undefined)
  if (sizeBytes === 0 || (now?.sizeBytes ?? 0) <= sizeBytes) return undefined
  const [found] = await askHashes(paths, [assignName(path), PICK_TOOL, `head -c ${sizeBytes} <"$f" | h`].join('; '))
  return found
}

async function sha256ByReading({ sftp, signal }: ChecksumPaths, file: ChecksumFile): Promise<string> {
  try {
    const opened = await sftp.open(file.path, OpenFlag.READ)
    const hash = createHash('sha256')
    for await (const chunk of readAll(sftp, opened, file.sizeBytes)) hash.update(chunk)
    await sftp.close(opened)
    return hash.digest('hex')
  } catch (error) {
    throwIfAborted(signal)
    if (error instanceof RemexError && error.code === 'CONNECTION_LOST') throw error
    const why = `${sftp.vmId}: no SHA-256 of ${showPath(file.path)} could be computed there, nor could it be read back`
    throw remexError('CHECKSUM_UNAVAILABLE', why, { vmId: sftp.vmId, cause: error })
  }
}
