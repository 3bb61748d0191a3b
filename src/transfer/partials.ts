import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensurePrivateDir, errorCode, writeFileAtomic } from '../core/atomic-file.ts'
import { withFileLock } from '../core/file-lock.ts'

/** What the name of an unfinished file ends in, so that it can be told from all others. */
export interface PartialMark {
  /** `.remex-<16 hex digits>`. */
  readonly suffix: string
  /** Whether the next transfer of ours to the same place has it too, so that it finds what this one leaves. Nobody else uses it now. */
  readonly isStable: boolean
}

/** A mark that nothing else has. */
export function freshMark(): PartialMark {
  return { suffix: `.remex-${randomBytes(8).toString('hex')}`, isStable: false }
}

/** Whether the last component of `path` is the name of something unfinished: it belongs to no tree. */
export function isPartialName(path: Buffer): boolean {
  return /(^|\/)(\.[^/]*)?\.remex-[0-9a-f]{16}$/.test(path.toString('latin1'))
}

/**
 * Marks for unfinished files that stay the same for the same place, so that whatever an interrupted transfer left is found
 * by the next one. They depend on an id that this state directory alone has: transfers from elsewhere use other names. While
 * one runs, a lock keeps other processes of ours from using its name.
 */
export class Partials {
  readonly #directory: string
  #client: Promise<string> | undefined

  /** `directory`: a private one for locks and our id; made at the first use. */
  constructor(directory: string) {
    this.#directory = directory
  }

  /**
   * Does `work` with the mark of the place that `words` name (host, direction, path). Where another transfer to the same
   * place is under way, or no lock can be made, it gets a fresh one, and nothing can be resumed.
   */
  async holding<T>(words: readonly (string | Buffer)[], work: (mark: PartialMark) => Promise<T>): Promise<T> {
    const hold = { isHeld: false }
    try {
      const key = await this.#key(words)
      const held = (): Promise<T> => {
        hold.isHeld = true
        return work({ suffix: `.remex-${key}`, isStable: true })
      }
      return await withFileLock(join(this.#directory, key), held, { timeoutMs: 0 })
    } catch (error) {
      if (hold.isHeld) throw error
      return work(freshMark())
    }
  }

  async #key(words: readonly (string | Buffer)[]): Promise<string> {
    const hash = createHash('sha256').update(await (this.#client ??= this.#readClient()))
    for (const word of words) hash.update('\0').update(word)
    return hash.digest('hex').slice(0, 16)
  }

  async #readClient(): Promise<string> {
    const path = join(this.#directory, 'client-id')
    await ensurePrivateDir(this.#directory)
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return ''
      throw error
    })
    if (text !== '') return text
    // Where two processes do this at once, the one that is read back counts; what the other began meanwhile is not found again.
    await writeFileAtomic(path, randomBytes(16).toString('hex'))
    return readFile(path, 'utf8')
  }
}

/** {@link Partials.holding}, or a fresh mark where there are no partials. */
export function holdingMark<T>(partials: Partials | undefined, words: readonly (string | Buffer)[], work: (mark: PartialMark) => Promise<T>): Promise<T> {
  return partials === undefined ? work(freshMark()) : partials.holding(words, work)
}
