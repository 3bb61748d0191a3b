import { baseName, directoryName, joinPath } from '../path-name.ts'
import type { NewDirectory } from './tree-sink.ts'

/**
 * New directories that come with their files: made beside the others of a batch, filled there under the files' own names, and
 * given their place by one rename. Only those whose files all have names that may be used for that.
 */
export class BroughtDirectories {
  readonly directories: readonly NewDirectory[]
  /** The ones that are to be made by themselves. */
  readonly others: readonly NewDirectory[]
  readonly #places: ReadonlyMap<string, number>

  constructor(all: readonly NewDirectory[], paths: readonly Buffer[], isUsable: (name: Buffer) => boolean = () => true) {
    const odd = new Set(all.length === 0 ? [] : paths.filter((path) => !isUsable(baseName(path) ?? path)).map(parentOf))
    const filled = new Set(paths.map(parentOf))
    const isBrought = ({ path }: NewDirectory): boolean => !odd.has(path.toString('latin1')) && filled.has(path.toString('latin1'))
    this.directories = all.filter(isBrought)
    this.others = all.filter((one) => !isBrought(one))
    this.#places = new Map(this.directories.map(({ path }, at) => [path.toString('latin1'), at]))
  }

  /** What the batch calls the directory at `place`. */
  memberName(place: number): string {
    return `d${String(place).padStart(6, '0')}`
  }

  /** The place of the directory that brings the file at `path`; undefined where none does. */
  directoryOf(path: Buffer): number | undefined {
    return this.#places.size === 0 ? undefined : this.#places.get(parentOf(path))
  }

  /** What the batch calls the file at `path`, where it is brought by its directory; undefined for the others. */
  nameOf(path: Buffer): Buffer | undefined {
    const place = this.directoryOf(path)
    return place === undefined ? undefined : joinPath(Buffer.from(this.memberName(place)), baseName(path) ?? path)
  }
}

function parentOf(path: Buffer): string {
  return directoryName(path).toString('latin1')
}
