import type { TreeEntry } from './entry.ts'

/** A name, and whether what bears it is a directory. */
export type Named = Pick<TreeEntry, 'name' | 'kind'>

const SLASH = 0x2f
/** Before every byte that a name can have. */
const END = -1

/**
 * The order of names in a directory: bytewise, where a directory stands as if its name ended in a slash. So a walk that
 * goes into each directory where it stands tells whole paths in bytewise order. Negative, zero or positive; zero only
 * for the same name and both, or neither, a directory.
 */
export function compareNames(a: Named, b: Named): number {
  const common = Math.min(a.name.length, b.name.length)
  const order = a.name.compare(b.name, 0, common, 0, common)
  return order === 0 ? byteAt(a, common) - byteAt(b, common) : order
}

function byteAt({ name, kind }: Named, index: number): number {
  return name[index] ?? (kind === 'directory' ? SLASH : END)
}
