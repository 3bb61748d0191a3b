import { setTimeout as delay } from 'node:timers/promises'
import { remexError, type RemexError } from '../../core/errors.ts'
import type { ErrorCode } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import { throwIfAborted } from '../abort.ts'
import type { TransferAccess } from '../access.ts'
import { showPath } from '../path-name.ts'
import type { PathName } from '../path-name.ts'
import { assignName } from '../shell-name.ts'
import type { HostTools } from './host-tools.ts'
import { tarStream } from './tar.ts'
import type { TarMember } from './tar.ts'
import { runWatched } from './watched-run.ts'

/** A file that is to be on the host. */
export interface PutFile {
  /** As `directory` is to have it: a {@link isPlainName}, in one of `directories` or alone. Default: {@link batchMemberName} of its place. */
  readonly name?: string
  readonly content: Buffer
  /** Of the content; hexadecimal. */
  readonly sha256: string
  /** Permission bits, 0 to 0o7777: exactly these, whatever the umask. */
  readonly mode: number
  /** Seconds since 1970, from 0 on. Undefined: when it was written. */
  readonly mtime: number | undefined
}

/** Files that travel together. */
export interface PutBatch {
  /** Absolute. It is made, and removed when that fails: a random name, so that it is nobody else's. Its parent must be there. */
  readonly directory: Buffer
  /** At most `BATCH_FILES`, of `BATCH_BYTES` in all. */
  readonly files: readonly PutFile[]
  /** Directories to be made in it: plain names, and the permission bits that they are to have exactly. Default: none. */
  readonly directories?: readonly { readonly name: string; readonly mode: number }[]
  /** What a file is called in a message. */
  readonly nameOf: (index: number) => PathName
  readonly signal: AbortSignal | undefined
  /** Told the content of each file, in bytes, as it is sent. */
  readonly onSent?: ((sizeBytes: number) => void) | undefined
}

/** What `directory` calls the file at `index`: digits that sort. The files' real names never go through a shell or an archive. */
export function batchMemberName(index: number): string {
  return String(index).padStart(6, '0')
}

/** Whether a name may go through a shell, an archive and a list of hashes as it is, and is found by `*`. */
export function isPlainName(name: Buffer): boolean {
  return name.length <= LONGEST_PLAIN_BYTES && /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(name.toString('latin1'))
}

/** An archive has room for 100 characters, of which some are for the directory. */
const LONGEST_PLAIN_BYTES = 80

/**
 * Puts files into a new private directory of the host, by one command: an archive on its standard input, unpacked, hashed and put on
 * disk there. Resolves when every SHA-256 that the host computed is the expected one. Else the directory is removed, as far as
 * the host still answers within 2 s, and it rejects: `CHECKSUM_MISMATCH`, `NO_SPACE`, `PERMISSION_DENIED`, `TRANSFER_FAILED` with
 * the host's words, `CONNECTION_LOST` and the like, or the signal's reason.
 */
export async function putBatch(access: TransferAccess, tools: HostTools, batch: PutBatch): Promise<void> {
  throwIfAborted(batch.signal)
  const end = { wasThere: false }
  try {
    const said = await unpack(access, batch, { text: putCommand(tools, batch), end })
    compare(access, batch, said)
  } catch (error) {
    if (!end.wasThere) await remove(access, batch.directory)
    throw error
  }
}

const MARK = 'remex-batch\n'
/** When the directory could not be made, and so is not ours. */
const NOT_MADE = 3
const FAILED = 4
/** Of each line: the digest, the name, and what stands around them. */
const LINE_BYTES = 180
/** For what start-up files print. */
const NOISE_BYTES = 64 * 1024

/** The names of the files in the order of the bytes, which is that of a shell's `*` in the C locale. */
function namesOf({ files }: PutBatch): string[] {
  return files.map(({ name }, index) => name ?? batchMemberName(index)).sort()
}

function putCommand(tools: HostTools, batch: PutBatch): string {
  const { directory, files, directories = [] } = batch
  const depths = new Set(namesOf(batch).map((name) => (name.includes('/') ? '*/*' : '[0-9]*')))
  // Without a time for any of them, the host's clock counts.
  const times = files.some(({ mtime }) => mtime !== undefined) ? '' : 'm'
  const steps = [
    'cd "$f"',
    // Nobody else comes into the directory; and busybox would apply the umask to modes that are to be exact.
    'umask 0',
    ...directories.map(({ name, mode }) => `mkdir -m ${mode.toString(8).padStart(4, '0')} ${name}`),
    `tar -xpo${times}f -`,
    `echo ${MARK.trimEnd()}`,
    ...(files.length === 0 ? [] : [`${tools.checksum} ${[...depths].sort().reverse().join(' ')}`]),
    ...lateModes(files),
    tools.sync,
  ]
  // A connection that breaks ends the archive: then the host itself removes what came.
  const undo = `{ rm -rf "$f"; exit ${FAILED}; }`
  const make = `mkdir -m 700 "$f" || exit ${NOT_MADE}`
  return ['LC_ALL=C; export LC_ALL', assignName(directory), make, `${steps.join(' && ')} || ${undo}`].join('; ')
}

/** Some modes forbid the login itself to read the file, and some are lost when tar writes as an ordinary user. */
const isLate = (mode: number): boolean => (mode & 0o7000) !== 0 || (mode & 0o400) === 0

function lateModes(files: readonly PutFile[]): string[] {
  const names = new Map<number, string[]>()
  for (const [index, { name, mode }] of files.entries()) {
    if (!isLate(mode)) continue
    const same = names.get(mode) ?? []
    same.push(name ?? batchMemberName(index))
    names.set(mode, same)
  }
  return Array.from(names, ([mode, members]) => `chmod ${mode.toString(8).padStart(4, '0')} ${members.join(' ')}`)
}

interface Unpacking {
  readonly text: string
  readonly end: { wasThere: boolean }
}

/** What the host printed. Rejects where the command did not succeed. */
async function unpack(access: TransferAccess, batch: PutBatch, { text, end }: Unpacking): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  const take = (chunk: Buffer): boolean => {
    chunks.push(chunk)
    return (sizeBytes += chunk.length) <= NOISE_BYTES + batch.files.length * LINE_BYTES
  }
  const stdin = tarStream(members(batch.files), batch.onSent)
  const output = await runWatched(access, text, { signal: batch.signal, stdin, take })
  if (output === null) throw failed(access, batch, 'it printed far more than it was asked for')
  end.wasThere = output.exitCode === NOT_MADE
  if (output.exitCode !== 0) throw failed(access, batch, output.stderr.toString('utf8'))
  return Buffer.concat(chunks).toString('latin1')
}

function* members(files: readonly PutFile[]): Generator<TarMember, void> {
  const now = Date.now() / 1000
  for (const [index, { name = batchMemberName(index), content, mode, mtime = now }] of files.entries()) {
    yield { name, content, mode: isLate(mode) ? 0o600 : mode, mtime }
  }
}

function compare(access: TransferAccess, batch: PutBatch, said: string): void {
  const { vmId } = access
  const mark = said.indexOf(MARK)
  const lines = mark === -1 ? [] : said.slice(mark + MARK.length).split('\n')
  const byName = new Map(namesOf(batch).map((name, at) => [name, digest(lines[at] ?? '', name)]))
  const found = batch.files.map(({ name }, index) => byName.get(name ?? batchMemberName(index)))
  if (mark === -1 || found.includes(undefined)) throw failed(access, batch, 'it did not print the hash of every file')
  const wrong = batch.files.flatMap(({ sha256 }, index) => (found[index] === sha256 ? [] : [index]))
  const [first] = wrong
  if (first === undefined) return
  const which = `${showPath(batch.nameOf(first))}: SHA-256 is ${found[first] ?? ''} there, but ${batch.files[first]?.sha256 ?? ''} here`
  const many = `${wrong.length} of ${batch.files.length} files arrived wrong, the first is`
  throw remexError('CHECKSUM_MISMATCH', `${vmId}: ${many} ${which}`, { vmId })
}

function digest(line: string, name: string): string | undefined {
  const [, sha256, called] = /^([0-9a-f]{64}) [ *]?([A-Za-z0-9._/-]+)$/.exec(line) ?? []
  return called === name ? sha256 : undefined
}

interface Meaning {
  readonly words: RegExp
  readonly code: ErrorCode
  readonly what: string
}

/** What the words of mkdir, tar, chmod and sync mean, in the C locale of glibc, musl and the BSDs. */
const MEANINGS: readonly Meaning[] = [
  { words: /no space left|quota exceeded/i, code: 'NO_SPACE', what: 'no space left' },
  { words: /permission denied|not permitted|read-only file system/i, code: 'PERMISSION_DENIED', what: 'no permission to write' },
]
const UNKNOWN: Meaning = { words: /./, code: 'TRANSFER_FAILED', what: 'the host could not take the files' }

function failed({ vmId }: TransferAccess, { directory, files }: PutBatch, said: string): RemexError {
  const { words, code, what } = MEANINGS.find((meaning) => meaning.words.test(said)) ?? UNKNOWN
  // GNU tar remarks on old times, and comes to its end all the same.
  const lines = said.split('\n').filter((each) => !each.includes('time stamp'))
  const line = printable((lines.find((each) => words.test(each)) ?? '').trim()).slice(0, 200)
  const where = `a batch of ${files.length} files for ${showPath(directory)}`
  return remexError(code, `${vmId}: ${what} (${where})${line === '' ? '' : `: ${line}`}`, { vmId })
}

const REMOVAL_MS = 2000

/** A host that is gone, or does not answer, keeps what it has. */
async function remove(access: TransferAccess, directory: Buffer): Promise<void> {
  const text = `LC_ALL=C; export LC_ALL; ${assignName(directory)}; rm -rf "$f"`
  const over = new AbortController()
  const removal = access.run(text, { signal: over.signal }).catch(() => undefined)
  // Not left to the signal alone: the access takes time of its own to end a command.
  await Promise.race([removal, delay(REMOVAL_MS, undefined, { signal: over.signal })])
  over.abort()
}
