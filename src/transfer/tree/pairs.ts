import { compareNames } from './compare-names.ts'
import type { Named } from './compare-names.ts'
import type { TreeEntry } from './entry.ts'

/** What has one name at the source and at the target; at least one is there. */
export interface Pair {
  readonly entry: TreeEntry | null
  readonly existing: TreeEntry | null
}

/**
 * Two lists of one directory, each in the order of {@link compareNames}, name by name in that order. A directory and
 * something else of the same name stand apart in it; they come together, where the source's stands.
 */
export function* pairsOf(source: readonly TreeEntry[], target: readonly TreeEntry[]): Generator<Pair, void> {
  let at = 0
  for (const entry of source) {
    let order = orderOf(target[at], entry)
    for (; order < 0; order = orderOf(target[at], entry)) {
      yield* targetOnly(source, target[at])
      at += 1
    }
    const existing = order === 0 ? target[at] : twinOf(entry, target)
    if (order === 0) at += 1
    yield { entry, existing: existing ?? null }
  }
  for (; at < target.length; at += 1) yield* targetOnly(source, target[at])
}

/** As {@link compareNames}; the end of the list comes after everything. */
function orderOf(existing: TreeEntry | undefined, entry: TreeEntry): number {
  return existing === undefined ? 1 : compareNames(existing, entry)
}

function* targetOnly(source: readonly TreeEntry[], existing: TreeEntry | undefined): Generator<Pair, void> {
  if (existing !== undefined && twinOf(existing, source) === undefined) yield { entry: null, existing }
}

/** What has the name of `entry` in `list` where one of the two is a directory and the other is not. */
function twinOf(entry: TreeEntry, list: readonly TreeEntry[]): TreeEntry | undefined {
  const twin: Named = { name: entry.name, kind: entry.kind === 'directory' ? 'file' : 'directory' }
  let from = 0
  let to = list.length
  while (from < to) {
    const middle = (from + to) >>> 1
    const found = list[middle]
    const order = found === undefined ? 0 : compareNames(found, twin)
    if (order === 0) return found
    if (order < 0) from = middle + 1
    else to = middle
  }
  return undefined
}
