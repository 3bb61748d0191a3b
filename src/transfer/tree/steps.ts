import { RemexError, remexError } from '../../core/errors.ts'
import { showPath } from '../path-name.ts'
import type { FileKind } from '../sftp/attributes.ts'
import type { Step, TreeEntry } from './entry.ts'
import { childPath } from './listing.ts'
import { isCarried, isOfAnotherKind } from './plan.ts'
import type { Comparison, Item, Outcome, Plan, WalkedDirectory } from './plan.ts'

/** What the telling of one directory asks for or gives: that another is told first, or a step. */
export type Move = Step | { readonly kind: 'enter'; readonly directory: WalkedDirectory }

/** The telling of one directory. It is given what the last `enter` returned: whether all of that is gone from the target. */
export type Telling = Generator<Move, boolean, boolean>

/** What steps are told of. */
export interface Told extends Comparison {
  readonly checksum: boolean
}

/** The steps of one directory and, by way of `enter`, of those in it. Returns whether it is gone from the target after them. */
export function* tellDirectory(told: Told, directory: WalkedDirectory, outcome: Outcome): Telling {
  const { path, source, target } = directory
  if (source === null) return yield* tellGoing(told, directory, outcome)
  if (outcome instanceof RemexError || outcome === 'vanished') {
    yield { kind: 'failed', path, error: outcome === 'vanished' ? vanished(told, path) : outcome }
    return false
  }
  yield { kind: 'directory', path, entry: source, existing: outcome.isAtTarget ? target : null }
  yield* tellItems(told, directory, outcome)
  yield { kind: 'leave', path, entry: source }
  return false
}

/** A directory of the target that is to go: with it goes only what could be seen and is not excluded. */
function* tellGoing(told: Told, directory: WalkedDirectory, outcome: Outcome): Telling {
  const { path, target, isInTheWay } = directory
  if (outcome === 'vanished' || target === null) return true
  if (outcome instanceof RemexError) {
    yield { kind: 'failed', path, error: outcome }
    return false
  }
  const isEmptied = yield* tellItems(told, directory, outcome)
  if (isEmptied) yield { kind: 'extra', path, entry: target, isInTheWay }
  return isEmptied
}

/** Returns whether nothing is left of what the target alone had. */
function* tellItems(told: Told, directory: WalkedDirectory, plan: Plan): Telling {
  let isEmptied = !plan.holdsExcluded
  for (const item of plan.items) {
    const named = item.entry ?? item.existing
    if (named === null) continue
    const path = childPath(directory.path, named.name)
    if (item.entry !== null) yield* tellCarried(told, path, item)
    else if (!(yield* tellExtra(path, item, directory.isInTheWay))) isEmptied = false
  }
  return isEmptied
}

/** Returns whether it is gone. */
function* tellExtra(path: Buffer, { existing, walk }: Item, isInTheWay: boolean): Telling {
  if (existing === null) return true
  if (walk !== null && walk.source === null) return yield { kind: 'enter', directory: walk }
  yield { kind: 'extra', path, entry: existing, isInTheWay }
  return true
}

function* tellCarried(told: Told, path: Buffer, item: Item): Generator<Move, void, boolean> {
  const { entry, existing } = item
  if (entry === null) return
  if (!isCarried(entry)) yield { kind: 'skipped', path, entry }
  else if (existing === null || !isOfAnotherKind(entry, existing)) yield* tellEntry(told, path, item)
  else if (!told.delete || item.isKept) yield { kind: 'failed', path, error: inTheWay(told, path, item) }
  else yield* tellReplaced(told, path, item)
}

function* tellReplaced(told: Told, path: Buffer, item: Item): Generator<Move, void, boolean> {
  const isGone = yield* tellExtra(path, item, true)
  if (isGone) yield* tellEntry(told, path, { ...item, existing: null })
  else yield { kind: 'failed', path, error: inTheWay(told, path, item) }
}

/** What nothing is in the way of. */
function* tellEntry(told: Told, path: Buffer, { entry, existing, walk, links }: Item): Generator<Move, void, boolean> {
  if (entry === null) return
  if (entry.kind === 'directory') {
    if (walk !== null) yield { kind: 'enter', directory: walk }
  } else if (entry.kind === 'file') {
    if (existing !== null && !told.checksum && looksSame(entry, existing)) yield { kind: 'same', path, entry, existing }
    else yield { kind: 'file', path, entry, existing }
  } else if (links !== null) {
    if ('error' in links) yield { kind: 'failed', path, error: links.error }
    else if (links.isSame && existing !== null) yield { kind: 'same', path, entry, existing }
    else yield { kind: 'link', path, entry, existing, points: links.points }
  }
}

function looksSame(entry: TreeEntry, existing: TreeEntry): boolean {
  return entry.sizeBytes === existing.sizeBytes && entry.mtime === existing.mtime
}

const KIND_NAMES: Record<FileKind, string> = {
  file: 'a file',
  directory: 'a directory',
  symlink: 'a symbolic link',
  other: 'neither a file nor a directory',
  unknown: 'something unknown',
}

function inTheWay({ target, ...told }: Told, path: Buffer, { entry, existing, isKept }: Item): RemexError {
  const [ours, theirs] = [KIND_NAMES[entry?.kind ?? 'unknown'], KIND_NAMES[existing?.kind ?? 'unknown']]
  const hint = told.delete ? 'Move it away on the target, then repeat.' : 'Repeat with --delete to replace it.'
  const why = isKept ? ', which the filter excludes' : told.delete ? ', which holds what is excluded or could not be listed' : ''
  return remexError('TRANSFER_FAILED', `${target.prefix}${showPath(path)} is ${theirs} at the target${why}, and ${ours} at the source`, { hint })
}

function vanished({ source }: Told, path: Buffer): RemexError {
  const message = `${source.prefix}the directory ${showPath(path)} vanished while the tree was compared`
  return remexError('TRANSFER_FAILED', message, { hint: 'Repeat the transfer; what is at the target was left alone.' })
}
