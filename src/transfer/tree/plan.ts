import { RemexError } from '../../core/errors.ts'
import { eachOf } from './each-of.ts'
import type { TreeEntry } from './entry.ts'
import type { TreeFilter } from './filter.ts'
import { childPath } from './listing.ts'
import type { RootedTree } from './listing.ts'
import { Pace } from './pace.ts'
import { pairsOf } from './pairs.ts'
import type { Pair } from './pairs.ts'

/** A comparison of two trees; see `compareTrees`. */
export interface Comparison {
  readonly source: RootedTree
  readonly target: RootedTree
  readonly filter: TreeFilter
  readonly delete: boolean
}

/** A directory that is to be walked through: at both ends, at the source where it is new, or at the target where it is to go. */
export interface WalkedDirectory {
  readonly path: Buffer
  /** The directory at the source; null where there is none. */
  readonly source: TreeEntry | null
  /** The directory at the target; null where there is none, or something else in its place. */
  readonly target: TreeEntry | null
  /** Whether what takes its place waits for it to go. */
  readonly isInTheWay: boolean
}

/** One name of a directory, and what is to be known before anything is said of it. */
export interface Item extends Pair {
  /** Whether the filter keeps what is at the target, so that nothing can take its place. */
  readonly isKept: boolean
  /** The directory to be walked through: there is never more than one. */
  readonly walk: WalkedDirectory | null
  /** What the links say, for a link of the source that has nothing in its way. */
  links: Links | null
}

/** What the link says at the source, and whether the one at the target says the same; or why that is not known. */
export type Links = { readonly points: Buffer; readonly isSame: boolean } | { readonly error: RemexError }

/** What there is to be said of one directory, in order. */
export interface Plan {
  readonly items: readonly Item[]
  /** Whether something at the target, in the directory itself, is excluded and so stays. */
  readonly holdsExcluded: boolean
  /** Whether the directory is at the target. */
  readonly isAtTarget: boolean
}

/** What became of listing a directory: a plan; nothing, because it has vanished; or why it is left out. */
export type Outcome = Plan | 'vanished' | RemexError

const LINKS_AHEAD = 32

/** Lists a directory at both ends at once and lays out what there is to be said. Rejects as the sides do. */
export async function planDirectory(comparison: Comparison, directory: WalkedDirectory): Promise<Plan | 'vanished'> {
  const { source, target } = comparison
  const [ours, theirs] = await Promise.all([
    directory.source === null ? null : source.list(directory.path),
    directory.target === null ? null : target.list(directory.path),
  ])
  if ((directory.source === null ? theirs : ours) === null) return 'vanished'
  const items: Item[] = []
  let holdsExcluded = false
  const pace = new Pace()
  for (const pair of pairsOf(ours ?? [], theirs ?? [])) {
    if (pace.isDue) await pace.turn()
    const item = itemOf(comparison, directory, pair)
    if (item === 'excluded') holdsExcluded = true
    else if (item !== null) items.push(item)
  }
  await readLinks(comparison, directory, items)
  return { items, holdsExcluded, isAtTarget: theirs !== null }
}

/** Null for what nothing is to be said of; `excluded` for what is at the target only and the filter keeps. */
function itemOf(comparison: Comparison, directory: WalkedDirectory, { entry, existing }: Pair): Item | 'excluded' | null {
  const isWanted = entry !== null && isIncluded(comparison, directory, entry)
  if (isWanted) {
    const isKept = existing !== null && isOfAnotherKind(entry, existing) && !isIncluded(comparison, directory, existing)
    const canGo = comparison.delete && !isKept
    return { entry, existing, isKept, walk: walkInto(directory, { entry, existing }, canGo), links: null }
  }
  if (existing === null || !comparison.delete) return null
  if (!isIncluded(comparison, directory, existing)) return 'excluded'
  return { entry: null, existing, isKept: false, walk: walkInto(directory, { entry: null, existing }, true), links: null }
}

function isIncluded({ filter }: Comparison, directory: WalkedDirectory, { name, kind }: TreeEntry): boolean {
  return filter(childPath(directory.path, name), kind === 'directory')
}

/** Whether something else must go before `entry` can be at the target. */
export function isOfAnotherKind(entry: TreeEntry, existing: TreeEntry): boolean {
  return entry.kind !== existing.kind
}

/** Whether a transfer can carry `entry`. */
export function isCarried({ kind }: TreeEntry): boolean {
  return kind === 'file' || kind === 'directory' || kind === 'symlink'
}

/** The directory that is to be walked through. What is at the target is walked through only where it is a directory itself. */
function walkInto(directory: WalkedDirectory, { entry, existing }: Pair, canGo: boolean): WalkedDirectory | null {
  const source = entry?.kind === 'directory' ? entry : null
  const target = existing?.kind === 'directory' ? existing : null
  const named = source ?? target
  if (named === null || (entry !== null && !isCarried(entry))) return null
  if (entry !== null && existing !== null && isOfAnotherKind(entry, existing) && !canGo) return null
  const isInTheWay = source === null && (entry !== null || directory.isInTheWay)
  return { path: childPath(directory.path, named.name), source, target, isInTheWay }
}

async function readLinks(comparison: Comparison, directory: WalkedDirectory, items: readonly Item[]): Promise<void> {
  const links = items.filter(({ entry }) => entry?.kind === 'symlink')
  await eachOf(links, LINKS_AHEAD, async (item) => {
    item.links = await compareLinks(comparison, directory, item)
  })
}

async function compareLinks({ source, target }: Comparison, directory: WalkedDirectory, { entry, existing }: Item): Promise<Links | null> {
  if (entry === null) return null
  const path = childPath(directory.path, entry.name)
  try {
    const [points, old] = await Promise.all([source.readlink(path), existing?.kind === 'symlink' ? target.readlink(path) : null])
    return { points, isSame: old !== null && old.equals(points) }
  } catch (error) {
    return { error: assertPassing(error) }
  }
}

const PASSING_CODES = new Set(['PERMISSION_DENIED', 'TRANSFER_FAILED', 'LOCAL_NOT_FOUND', 'REMOTE_NOT_FOUND'])

/** `error` where it is about one directory or link, and the rest can go on; throws it where it is not. */
export function assertPassing(error: unknown): RemexError {
  if (error instanceof RemexError && PASSING_CODES.has(error.code)) return error
  throw error
}
