import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { localFileError } from '../core/atomic-file.ts'
import { readBounded } from '../core/bounded-read.ts'
import { remexError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'

/** A larger script is not held in memory. */
const MOST_BYTES = 16 * 1024 * 1024

/** A script of this machine. Once its content was asked for, that very content is what is sent. */
export class LocalScript {
  readonly path: string
  #content: Buffer | undefined

  constructor(path: string) {
    this.path = path
  }

  /** What was read; undefined where nobody asked, and the file is sent as it is then. */
  get content(): Buffer | undefined {
    return this.#content
  }

  /** SHA-256 of the content, hexadecimal. Rejects with `LOCAL_NOT_FOUND`, `PERMISSION_DENIED`, or `USAGE` for what is no script to be read. */
  async sha256(): Promise<string> {
    this.#content ??= await contentOf(this.path)
    return createHash('sha256').update(this.#content).digest('hex')
  }
}

async function contentOf(path: string): Promise<Buffer> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      if (!(await file.stat()).isFile()) throw remexError('USAGE', `the script ${printable(path)} is not a regular file`)
      const content = await readBounded(file, MOST_BYTES)
      if (content) return content
    } finally {
      await file.close()
    }
  } catch (error) {
    throw localFileError(error, path)
  }
  throw remexError('USAGE', `the script ${printable(path)} is larger than 16 MiB, so it cannot be approved`, { hint: 'Send it with remex put, then: remex script … --remote' })
}
