import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { askHashes, PICK_TOOL } from './checksum.ts'
import type { ChecksumPaths } from './checksum.ts'
import type { ByteSource } from './pipeline.ts'
import { assignName } from './shell-name.ts'

/** The grain in which a beginning is compared. */
const BLOCK_BYTES = 1024 * 1024
/** What was under way when a transfer was cut may have left holes: that far back from its end, a part is compared block by block. */
const TAIL_BLOCKS = 16
const READ_BYTES = 256 * 1024

/** Content on this side that can be read again from anywhere. */
export interface SeekableSource extends ByteSource {
  /** The next read begins at `offset`. */
  seek(offset: number): void
}

/** What two files have in common at their beginning. */
export interface SameStart {
  readonly sizeBytes: number
  /** SHA-256 so far; updated with what follows it is that of the whole. */
  readonly hash: Hash
}

/** Nothing in common. */
export function noStart(): SameStart {
  return { sizeBytes: 0, hash: createHash('sha256') }
}

/** A file on the host, of which the first `sizeBytes` are compared. */
export interface RemotePart {
  /** Absolute. */
  readonly path: Buffer
  readonly sizeBytes: number
  /** Only if it is a regular file that belongs to the login: what somebody else put there must not be built upon. */
  readonly mustBeOwn: boolean
}

/**
 * How far a file here and one on the host are the same from their beginning, by SHA-256, to within 1 MiB. `local` is then
 * at that place. Nothing in common where the host cannot hash. Rejects with `CONNECTION_LOST` and with the signal's reason.
 */
export async function sameStart(paths: ChecksumPaths, local: SeekableSource, remote: RemotePart): Promise<SameStart> {
  const lengths = piecesOf(remote.sizeBytes)
  const theirs = await askHashes(paths, piecesCommand(remote, lengths))
  const start = theirs.length === lengths.length ? await compare(local, lengths, theirs) : noStart()
  local.seek(start.sizeBytes)
  return start
}

/** The lengths of the pieces that are compared: one long one, the last blocks, the rest. Together they are `sizeBytes`. */
function piecesOf(sizeBytes: number): number[] {
  const blocks = Math.floor(sizeBytes / BLOCK_BYTES)
  const tail = Math.min(blocks, TAIL_BLOCKS)
  const lengths = [(blocks - tail) * BLOCK_BYTES, ...Array.from({ length: tail }, () => BLOCK_BYTES), sizeBytes % BLOCK_BYTES]
  return lengths.filter((length) => length > 0)
}

/** Shell text that prints the hash of each piece. */
function piecesCommand({ path, mustBeOwn }: RemotePart, lengths: readonly number[]): string {
  const own = mustBeOwn ? '[ -O "$f" ] && [ ! -L "$f" ] || exit 1' : ':'
  let offset = 0
  const pieces = lengths.map((length) => {
    const skip = offset / BLOCK_BYTES
    offset += length
    // dd reads whole blocks, so that the last one may be longer than what is asked of it.
    return `dd if="$f" bs=${BLOCK_BYTES} skip=${skip} count=${Math.ceil(length / BLOCK_BYTES)} 2>/dev/null | head -c ${length} | h`
  })
  return [assignName(path), '[ -f "$f" ] || exit 1', own, PICK_TOOL, ...pieces].join('; ')
}

async function compare(local: SeekableSource, lengths: readonly number[], theirs: readonly string[]): Promise<SameStart> {
  const { hash } = noStart()
  let sizeBytes = 0
  local.seek(0)
  for (const [index, length] of lengths.entries()) {
    const before = hash.copy()
    const piece = await hashPiece(local, length, hash)
    if (piece !== theirs[index]) return { sizeBytes, hash: before }
    sizeBytes += length
  }
  return { sizeBytes, hash }
}

/** SHA-256 of the next `length` bytes; undefined where there are fewer. They go into `whole` too. */
async function hashPiece(local: SeekableSource, length: number, whole: Hash): Promise<string | undefined> {
  const piece = createHash('sha256')
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let left = length; left > 0; ) {
    const filled = await local.read(buffer.subarray(0, Math.min(left, READ_BYTES)))
    if (filled === 0) return undefined
    const chunk = buffer.subarray(0, filled)
    piece.update(chunk)
    whole.update(chunk)
    left -= filled
  }
  return piece.digest('hex')
}
