import { joinPath } from '../path-name.ts'

/** How directories are made and removed at one end. */
export interface StagingEnd {
  make(directory: Buffer): Promise<void>
  /** Removes an empty directory. */
  removeEmpty(directory: Buffer): Promise<void>
  /** Removes a directory with all that is in it; nothing may be there. */
  removeAll(directory: Buffer): Promise<void>
}

/**
 * A private directory inside a tree, where files lie before they get their names. It is made when it is first needed, in
 * place of what an interrupted transfer left there, and removed at the end.
 */
export class StagingPlace {
  readonly #directory: Buffer
  readonly #end: StagingEnd
  #made: Promise<void> | undefined
  #count = 0

  constructor(directory: Buffer, end: StagingEnd) {
    this.#directory = directory
    this.#end = end
  }

  /** A name inside it that was not given out before. */
  async next(): Promise<Buffer> {
    await (this.#made ??= this.#make())
    this.#count++
    return joinPath(this.#directory, Buffer.from(String(this.#count)))
  }

  /** Removes what {@link next} gave out and is empty by now, if it is. Never rejects: {@link remove} comes. */
  drop(directory: Buffer): Promise<void> {
    return this.#end.removeEmpty(directory).catch(() => undefined)
  }

  /** Removes it, if it was made. Never rejects: the next transfer of the tree finds it. */
  async remove(): Promise<void> {
    if (this.#made === undefined) return
    await this.#end.removeAll(this.#directory).catch(() => undefined)
  }

  async #make(): Promise<void> {
    await this.#end.removeAll(this.#directory)
    await this.#end.make(this.#directory)
  }
}
