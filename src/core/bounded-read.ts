import { open, type FileHandle } from 'node:fs/promises'

const CHUNK_BYTES = 64 * 1024

/**
 * What an open file holds from here to its end; undefined where that is more than `mostBytes`. It reads on instead of asking for the
 * size, so that a pipe (`<(…)`) works, and a file whose size is not what it says, as in /proc.
 */
export async function readBounded(file: FileHandle, mostBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  for (let sizeBytes = 0; sizeBytes <= mostBytes;) {
    const wantedBytes = Math.min(CHUNK_BYTES, mostBytes + 1 - sizeBytes)
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wantedBytes), 0, wantedBytes, null)
    if (bytesRead === 0) return Buffer.concat(chunks)
    chunks.push(buffer.subarray(0, bytesRead))
    sizeBytes += bytesRead
  }
  return undefined
}

/** The same of the file at `path`, which may be a pipe. Rejects with the system's error. */
export async function readWhole(path: string, mostBytes: number): Promise<Buffer | undefined> {
  const file = await open(path, 'r')
  try {
    return await readBounded(file, mostBytes)
  } finally {
    await file.close()
  }
}
