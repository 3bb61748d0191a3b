import type { RemoteFile, SftpClient } from './sftp/client.ts'

/**
 * Content that is under way at once unless told otherwise, in bytes. It bounds the memory of one transfer, and is twice the
 * 2 MiB that an SSH window of OpenSSH or ssh2 lets through per round trip; more was measured to cost memory and to gain nothing.
 */
const WINDOW_BYTES = 4 * 1024 * 1024
const MAX_REQUESTS = 128
const SMALLEST_ASK_BYTES = 4096
/** What is read of a source at once: each read costs as much as hashing 40 KiB. */
const BLOCK_BYTES = 1024 * 1024
/** The first read is smaller: most files are. */
const FIRST_BLOCK_BYTES = 64 * 1024

/** Something to read from in order. */
export interface ByteSource {
  /** Fills `into` from the start as far as there is content; 0 only at the end. */
  read(into: Buffer): Promise<number>
}

/** What {@link writeAll} sends, and who watches. */
export interface Outgoing {
  readonly source: ByteSource
  /** Sees each piece, in order, before it is sent. It is used again, so that who keeps it must copy it. */
  readonly onChunk: (chunk: Buffer) => void
  /** Told how many bytes more the server has acknowledged. */
  readonly onAcknowledged: (byteCount: number) => void
  /** Where in the file the content begins. Default: 0. */
  readonly startBytes?: number
  /** How much may be under way at once, in bytes; at least two small requests are. Default: 4 MiB. */
  readonly windowBytes?: number
}

/**
 * Writes all of `content.source` to `file`, many requests at a time.
 * Resolves when the server has acknowledged all; rejects with the first failure, in the order of the file.
 */
export async function writeAll(sftp: Pick<SftpClient, 'limits' | 'write'>, file: RemoteFile, content: Outgoing): Promise<void> {
  const { windowBytes = WINDOW_BYTES, startBytes = 0 } = content
  const chunkBytes = chunkFor(sftp.limits.maxWriteBytes, windowBytes)
  const blockBytes = chunkBytes * Math.max(1, Math.floor(Math.min(BLOCK_BYTES, windowBytes / 4) / chunkBytes))
  const depth = depthFor(blockBytes, windowBytes)
  const write = (offset: number, data: Buffer): Promise<void> => sftp.write(file, offset, data)
  const free: Buffer[] = []
  const acknowledged: Promise<Buffer>[] = []
  for (let offset = startBytes; ; ) {
    const firstBytes = offset === startBytes ? FIRST_BLOCK_BYTES : blockBytes
    const block = free.pop() ?? Buffer.allocUnsafe(Math.min(blockBytes, firstBytes))
    const filled = await content.source.read(block)
    if (filled === 0) break
    content.onChunk(block.subarray(0, filled))
    acknowledged.push(quietly(writeBlock(write, { block, filled, chunkBytes, offset }, content)))
    offset += filled
    // The oldest first: then the failure that is reported is the first one, and its block can be used again.
    const oldest = acknowledged.length >= depth ? await acknowledged.shift() : undefined
    if (oldest?.length === blockBytes) free.push(oldest)
  }
  for (const rest of acknowledged) await rest
}

/** A piece of the source. */
interface Block {
  readonly block: Buffer
  readonly filled: number
  readonly chunkBytes: number
  readonly offset: number
}

/** Resolves with the block when all of it is acknowledged. */
async function writeBlock(
  write: (offset: number, data: Buffer) => Promise<void>,
  { block, filled, chunkBytes, offset }: Block,
  { onAcknowledged }: Outgoing,
): Promise<Buffer> {
  const chunks: Promise<void>[] = []
  for (let at = 0; at < filled; at += chunkBytes) {
    const chunk = block.subarray(at, Math.min(at + chunkBytes, filled))
    chunks.push(quietly(write(offset + at, chunk).then(() => onAcknowledged(chunk.length))))
  }
  for (const chunk of chunks) await chunk
  return block
}

/** What {@link readAll} is to bring. */
export interface Incoming {
  /** How long the file is said to be, in bytes. Only a hint: up to there many requests go out at a time. */
  readonly expectedBytes: number
  /** Where to begin. Default: 0. */
  readonly startBytes?: number
  /** How much may be under way or not taken at once, in bytes; at least two small requests are. Default: 4 MiB. */
  readonly windowBytes?: number
}

/** What a read is to bring. */
interface Ask {
  readonly offset: number
  readonly lengthBytes: number
  readonly data: Promise<Buffer | null>
}

/**
 * The content of `file` in order, to its real end, whatever size is expected (a number: from the beginning on): up to there
 * many requests at a time, beyond it one. Answers that come out of order or too short cost time, not content.
 */
export async function* readAll(
  sftp: Pick<SftpClient, 'limits' | 'read'>,
  file: RemoteFile,
  wanted: Incoming | number,
): AsyncGenerator<Buffer, void> {
  const { expectedBytes, startBytes = 0, windowBytes = WINDOW_BYTES }: Incoming = typeof wanted === 'number' ? { expectedBytes: wanted } : wanted
  let chunkBytes = chunkFor(sftp.limits.maxReadBytes, windowBytes)
  let next = startBytes
  const asked: Ask[] = []
  const ask = (offset: number, lengthBytes: number): Ask => ({ offset, lengthBytes, data: quietly(sftp.read(file, offset, lengthBytes)) })
  for (;;) {
    const depth = depthFor(chunkBytes, windowBytes)
    // Several at once, when a quarter is answered: they go out in one write.
    const mayAsk = asked.length <= depth * 0.75
    // The first request beyond the expected size goes out with the others: it is the one that finds the end.
    while (mayAsk && asked.length < depth && (next < expectedBytes || !asked.some(({ offset }) => offset >= expectedBytes))) {
      const lengthBytes = next < expectedBytes ? Math.min(chunkBytes, expectedBytes - next) : chunkBytes
      asked.push(ask(next, lengthBytes))
      next += lengthBytes
    }
    const oldest = asked.shift()
    const data = await oldest?.data
    if (oldest === undefined || data === null || data === undefined) return
    yield data
    const missing = oldest.lengthBytes - data.length
    if (missing === 0) continue
    // A short answer is not the end (files of /proc, servers with limits they do not tell): fetch the rest, and ask for less.
    asked.unshift(ask(oldest.offset + data.length, missing))
    chunkBytes = Math.max(data.length, Math.min(chunkBytes, SMALLEST_ASK_BYTES))
  }
}

/** As much as one request may carry, unless two of them would be more than the window. */
function chunkFor(mostBytes: number, windowBytes: number): number {
  return Math.min(mostBytes, Math.max(SMALLEST_ASK_BYTES, Math.floor(windowBytes / 2)))
}

function depthFor(chunkBytes: number, windowBytes: number): number {
  return Math.max(2, Math.min(MAX_REQUESTS, Math.floor(windowBytes / chunkBytes)))
}

/** The same promise, which may be left alone when an earlier one has failed. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}
