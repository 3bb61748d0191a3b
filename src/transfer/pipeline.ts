import type { RemoteFile, SftpClient } from './sftp/client.ts'

/**
 * Content that may be under way at once, in bytes. It bounds the memory of one transfer, and is twice the 2 MiB that an
 * SSH window of OpenSSH or ssh2 lets through per round trip; more was measured to cost memory and to gain nothing.
 */
const WINDOW_BYTES = 4 * 1024 * 1024
const MAX_REQUESTS = 64

/** Something to read from in order. */
export interface ByteSource {
  /** Fills `into` from the start as far as there is content; 0 only at the end. */
  read(into: Buffer): Promise<number>
}

/** What {@link writeAll} sends, and who watches. */
export interface Outgoing {
  readonly source: ByteSource
  /** Sees each piece, in order, before it is sent. */
  readonly onChunk: (chunk: Buffer) => void
  /** Told how many bytes more the server has acknowledged. */
  readonly onAcknowledged: (byteCount: number) => void
}

/**
 * Writes all of `content.source` to `file`, many requests at a time.
 * Resolves when the server has acknowledged all; rejects with the first failure, in the order of the file.
 */
export async function writeAll(sftp: SftpClient, file: RemoteFile, content: Outgoing): Promise<void> {
  const chunkBytes = sftp.limits.maxWriteBytes
  const depth = depthFor(chunkBytes)
  const free: Buffer[] = []
  const acknowledged: Promise<Buffer>[] = []
  for (let offset = 0; ; ) {
    const buffer = free.pop() ?? Buffer.allocUnsafe(chunkBytes)
    const filled = await content.source.read(buffer)
    if (filled === 0) break
    const chunk = buffer.subarray(0, filled)
    content.onChunk(chunk)
    acknowledged.push(quietly(written(sftp.write(file, offset, chunk), buffer, () => content.onAcknowledged(filled))))
    offset += filled
    // The oldest first: then the failure that is reported is the first one, and its buffer can be used again.
    const oldest = acknowledged.length >= depth ? acknowledged.shift() : undefined
    if (oldest !== undefined) free.push(await oldest)
  }
  await Promise.all(acknowledged)
}

async function written(answer: Promise<void>, buffer: Buffer, onAcknowledged: () => void): Promise<Buffer> {
  await answer
  onAcknowledged()
  return buffer
}

/** What a read is to bring. */
interface Ask {
  readonly offset: number
  readonly lengthBytes: number
  readonly data: Promise<Buffer | null>
}

/**
 * The content of `file` in order, to its real end, whatever size is expected: up to `expectedBytes` many requests at a time,
 * beyond that one. Answers that come out of order or too short cost time, not content.
 */
export async function* readAll(sftp: SftpClient, file: RemoteFile, expectedBytes: number): AsyncGenerator<Buffer, void> {
  let chunkBytes = sftp.limits.maxReadBytes
  let next = 0
  const asked: Ask[] = []
  const ask = (offset: number, lengthBytes: number): Ask => ({ offset, lengthBytes, data: quietly(sftp.read(file, offset, lengthBytes)) })
  for (;;) {
    // The first request beyond the expected size goes out with the others: it is the one that finds the end.
    while (asked.length < depthFor(chunkBytes) && (next < expectedBytes || !asked.some(({ offset }) => offset >= expectedBytes))) {
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

const SMALLEST_ASK_BYTES = 4096

function depthFor(chunkBytes: number): number {
  return Math.max(2, Math.min(MAX_REQUESTS, Math.floor(WINDOW_BYTES / chunkBytes)))
}

/** The same promise, which may be left alone when an earlier one has failed. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined)
  return promise
}
