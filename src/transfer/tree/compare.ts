import { RemexError } from '../../core/errors.ts'
import { abortError, throwIfAborted } from '../abort.ts'
import type { Step } from './entry.ts'
import type { TreeFilter } from './filter.ts'
import type { RootedTree } from './listing.ts'
import { LookAhead } from './look-ahead.ts'
import { Pace } from './pace.ts'
import { planDirectory } from './plan.ts'
import type { Outcome, WalkedDirectory } from './plan.ts'
import { tellDirectory } from './steps.ts'
import type { Telling, Told } from './steps.ts'

/** How two trees are compared. */
export interface CompareOptions {
  /** What is not part of the tree, at either end: it is neither sent nor deleted. */
  readonly filter: TreeFilter
  /** Whether what is at the target only goes, and what is in the way of something of another kind. */
  readonly delete: boolean
  /** Whether files of equal size and time are told as `file` steps, for the caller to compare by content. */
  readonly checksum: boolean
  /** Makes the error for a root of the source that is not there. */
  readonly missing: () => RemexError
  readonly signal?: AbortSignal | undefined
}

/**
 * What is to be done to make `target` like `source`, depth first in the order of `compareNames`, the root first (an empty
 * path). A root of the target that is not there counts as empty, and its step has no `existing`. A file is `same` when
 * size and whole seconds agree, a link when it says the same bytes; whoever wants modes alike compares those of `entry` and
 * `existing`. What cannot be read below the root is a `failed` step, and so is what is in the way without `delete`: then
 * all that would be in it is left out, at both ends. What the filter excludes is left alone, and so are the directories of
 * the target that hold it.
 * Rejects with `missing()`, `USAGE` for a root that is not a directory, what listing a root rejects with, `CONNECTION_LOST`
 * and all else that is not about one directory, and the signal's error.
 */
export async function* compareTrees(source: RootedTree, target: RootedTree, options: CompareOptions): AsyncGenerator<Step, void> {
  throwIfAborted(options.signal)
  const told: Told = { source, target, filter: options.filter, delete: options.delete, checksum: options.checksum }
  const root = await orAbort(rootOf(told, options), options.signal)
  const lookAhead = new LookAhead(root, (directory) => planDirectory(told, directory))
  const take = (): Promise<Outcome> => orAbort(lookAhead.takeNext(), options.signal)
  try {
    yield* walk(told, [tellDirectory(told, root, asRoot(await take(), options))], { take, signal: options.signal })
  } finally {
    lookAhead.stop()
  }
}

/** Where the walk gets what it does not know. */
interface Supply {
  /** What became of listing the directory that is entered next. */
  readonly take: () => Promise<Outcome>
  readonly signal: AbortSignal | undefined
}

/** Directories within directories by a list of their own, because a generator within a thousand others is slow. */
async function* walk(told: Told, open: Telling[], { take, signal }: Supply): AsyncGenerator<Step, void> {
  const pace = new Pace()
  let isGone = false
  for (let innermost = open.at(-1); innermost !== undefined; innermost = open.at(-1)) {
    throwIfAborted(signal)
    if (pace.isDue) await pace.turn()
    const move = innermost.next(isGone)
    if (move.done === true) {
      isGone = move.value
      open.pop()
    } else if (move.value.kind === 'enter') open.push(tellDirectory(told, move.value.directory, await take()))
    else yield move.value
  }
}

async function rootOf({ source, target }: Told, { missing }: CompareOptions): Promise<WalkedDirectory> {
  const [ours, theirs] = await Promise.all([source.root(), target.root()])
  if (ours === null) throw missing()
  return { path: Buffer.alloc(0), source: ours, target: theirs, isInTheWay: false }
}

/** Nothing can be done about a root that cannot be listed. */
function asRoot(outcome: Outcome, { missing }: CompareOptions): Outcome {
  if (outcome === 'vanished') throw missing()
  if (outcome instanceof RemexError) throw outcome
  return outcome
}

/** What `promise` brings, or the signal's error, whichever comes first. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(abortError(signal))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
