import { randomBytes } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { errorCode } from '../../core/atomic-file.ts'

/** Room for the ends of some hundred operations. */
export const RESERVE_BYTES = 262_144

/** Whether it failed for want of room on the disk, or in a quota. */
export function isNoSpace(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errorCode(error) ?? '')
}

/**
 * Room on the disk that nothing but the end of an operation may use: while it cannot be kept, nothing new begins, and what
 * runs can still be recorded when it ends. Called under the lock.
 */
export class Reserve {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** Has the room, on disk. Rejects with the system's error where there is none; nothing is left then. A limit on the size of files (EFBIG) leaves none to keep. */
  async keep(): Promise<void> {
    if (lstatSync(this.#path, { throwIfNoEntry: false })?.size === RESERVE_BYTES) return
    try {
      await this.giveUp()
      const file = await open(this.#path, 'wx', 0o600)
      try {
        // Noise: zeros take no room on some file systems.
        await file.writeFile(randomBytes(RESERVE_BYTES))
        await file.datasync()
      } finally {
        await file.close()
      }
    } catch (error) {
      await this.giveUp()
      if (errorCode(error) !== 'EFBIG') throw error
    }
  }

  /** Makes the room free for what is to be written now. */
  async giveUp(): Promise<void> {
    await rm(this.#path, { force: true })
  }
}
