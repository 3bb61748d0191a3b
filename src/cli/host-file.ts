import { randomBytes } from 'node:crypto'
import { renameSync, rmSync } from 'node:fs'
import { open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { localFileError } from '../core/atomic-file.ts'
import type { RemexError } from '../core/errors.ts'

const COPY_BYTES = 64 * 1024

/**
 * A file that grows as output comes, under a temporary name until its end; mode 0600. What was there under its name
 * stays until then, and stays for good where the new one cannot be written whole.
 */
export class HostFile {
  readonly #path: string
  readonly #temporary: string
  #file: Promise<FileHandle> | undefined
  #sizeBytes = 0
  #last: Promise<void> = Promise.resolve()
  #error: RemexError | undefined

  constructor(path: string) {
    this.#path = path
    this.#temporary = temporaryBeside(path)
  }

  /** Writes behind what was written; the promise settles when there is room for more. Never rejects. */
  write(chunk: Buffer): Promise<void> {
    this.#last = this.#last.then(() => (this.#error ? undefined : this.#append(chunk))).catch((error: unknown) => this.#fail(error))
    return this.#last
  }

  /** Puts the file in its place, with no more than its last `sizeBytes`. Gives the error where it could not be written. */
  async end(sizeBytes = Infinity): Promise<RemexError | undefined> {
    await this.#last
    try {
      const file = this.#error ? undefined : await this.#opened()
      if (file && this.#sizeBytes > sizeBytes) await this.#keepLast(file, sizeBytes)
      await (await this.#file)?.close()
      if (!this.#error) await rename(this.#temporary, this.#path)
      this.#file = undefined
    } catch (error) {
      await this.#fail(error)
    }
    return this.#error
  }

  /** Puts what came so far in its place, now: the process is about to end. */
  leave(): void {
    if (!this.#file) return
    try {
      if (this.#sizeBytes > 0) renameSync(this.#temporary, this.#path)
      else rmSync(this.#temporary, { force: true })
    } catch {
      // There is nobody left to tell, and nothing left to do.
    }
  }

  async #append(chunk: Buffer): Promise<void> {
    const file = await this.#opened()
    for (let done = 0; done < chunk.length; ) done += (await file.write(chunk, done)).bytesWritten
    this.#sizeBytes += chunk.length
  }

  #opened(): Promise<FileHandle> {
    return (this.#file ??= open(this.#temporary, 'wx+', 0o600))
  }

  /** Copied in place, towards the beginning: a full disk has no room for a second file. */
  async #keepLast(file: FileHandle, sizeBytes: number): Promise<void> {
    const from = this.#sizeBytes - sizeBytes
    const part = Buffer.allocUnsafe(COPY_BYTES)
    for (let at = 0; at < sizeBytes; ) {
      const { bytesRead } = await file.read(part, 0, Math.min(COPY_BYTES, sizeBytes - at), from + at)
      if (bytesRead === 0) break
      for (let done = 0; done < bytesRead; ) done += (await file.write(part, done, bytesRead - done, at + done)).bytesWritten
      at += bytesRead
    }
    await file.truncate(sizeBytes)
  }

  /** Takes the half file away: it would pass for the whole. */
  async #fail(error: unknown): Promise<void> {
    this.#error ??= localFileError(error, this.#path)
    const file = await this.#file?.catch(() => undefined)
    this.#file = undefined
    await file?.close().catch(() => undefined)
    await unlink(this.#temporary).catch(() => undefined)
  }
}

/** Not made of the file's name, which may already be as long as names can be. */
function temporaryBeside(path: string): string {
  return join(dirname(path), `.remex-${randomBytes(8).toString('hex')}.tmp`)
}
